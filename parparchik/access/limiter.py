"""Who asks too often, and what they are told (RFC 6585 section 4).

A client is an API key, where one that is known is shown: then all who have it are one client,
wherever they are. Anybody else is an address; of IPv6 the first 64 bits, since who has one address
there has all of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

import trio

from parparchik.access.proxies import TrustedProxies
from parparchik.access.rate import TokenBuckets
from parparchik.config.model import LimitsConfig
from parparchik.model import Answer
from parparchik.routes import Authenticator, too_many_requests

_IPV6_NETWORK = ~((1 << 64) - 1)


class RateLimiter:
    """The limits of `config`, which are on. What `proxies` say of their clients is believed; a key
    that `authenticator` does not know counts for nothing, or everybody had as many buckets as they
    can make up keys. `now` gives seconds that never go back."""

    def __init__(
        self,
        config: LimitsConfig,
        proxies: TrustedProxies,
        authenticator: Authenticator,
        *,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        burst = config.burst or max(1, math.ceil(config.requests_per_second))
        self._buckets = TokenBuckets(config.requests_per_second, burst)
        self._authenticator = authenticator
        self._now = now
        self._address = lru_cache(maxsize=4096)(
            lambda peer, forwarded_for: _network_of(proxies.client(peer, forwarded_for))
        )

    def refuse(self, peer: str, api_key: bytes, forwarded_for: bytes) -> Answer | None:
        """The answer to one more request, 429, where it is one too many; None: it may be answered,
        and counts. `peer` is the address of whoever has connected, `api_key` what the request shows
        and `forwarded_for` its X-Forwarded-For."""
        if api_key and self._authenticator.required and self._authenticator.allows(api_key):
            client = sha256(api_key).hexdigest()
        else:
            client = self._address(peer, forwarded_for.decode("latin-1"))
        wait_s = self._buckets.take(client, self._now())
        return too_many_requests(math.ceil(wait_s)) if wait_s else None


def _network_of(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:  # a socket without addresses
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) & _IPV6_NETWORK))
    return address
