"""Whose request it is, where proxies stand between. Pure.

Anybody can send an X-Forwarded-For. Each proxy appends the address that it was asked from, so only
what trusted ones have appended can be believed: read from the right, the first address that is not
a trusted proxy's is the client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from parparchik.errors import ConfigError

Address = IPv4Address | IPv6Address

_MAX_HOPS = 32


class TrustedProxies:
    """`networks` are addresses or networks in CIDR notation. Raises ConfigError for what is
    neither."""

    def __init__(self, networks: Sequence[str]) -> None:
        try:
            self._networks = [ip_network(network, strict=False) for network in networks]
        except ValueError as error:
            raise ConfigError(f"trusted proxies: {error}") from None
        self._trusts = lru_cache(maxsize=4096)(self._is_within)

    def client(self, peer: str, forwarded_for: str) -> str:
        """The client's address; `peer` is whoever has connected. What is no address ends what can
        be believed."""
        client = _address(peer)
        if client is None:
            return peer
        if self._networks and forwarded_for and self._trusts(client):
            hops = forwarded_for.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
            for hop in reversed(hops):
                address = _address(hop)
                if address is None:
                    break
                client = address
                if not self._trusts(client):
                    break
        return str(client)

    def _is_within(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """`1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]:80`; an IPv4 address in IPv6's clothes is one."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped
