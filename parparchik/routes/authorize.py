"""Who may ask: API keys, compared in constant time.

With keys configured, the management API and all that resolves to a private bucket ask for one;
which answer needs it is for the caller to decide, since permission follows the object, not the
URL. Both planes and the management API ask here and nowhere else.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

from parparchik.config.model import AuthConfig

CHALLENGE = b"Bearer"
"""What a 401 must carry in WWW-Authenticate (RFC 9110 section 11.6.1; RFC 6750 section 3)."""


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The API key that a request shows, b'' if none. `headers` have lower-case names.

    `Authorization: Bearer <key>` goes before `X-API-Key: <key>`; other schemes (a proxy's Basic)
    are not ours and do not hide an X-API-Key.
    """
    api_key = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credentials = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                return credentials.strip()
        elif name == b"x-api-key" and not api_key:
            api_key = value.strip()
    return api_key


class Authenticator:
    """Tells a configured API key from anything else.

    Keys are kept and compared as digests: the comparison takes the same time whichever key, how
    long a prefix and what length the caller guessed, and no key lies about in memory here.
    """

    __slots__ = ("_digests",)

    def __init__(self, config: AuthConfig) -> None:
        self._digests = tuple(sha256(key.encode()).digest() for key in config.api_keys)

    @property
    def required(self) -> bool:
        """Whether keys are configured at all."""
        return bool(self._digests)

    def allows(self, presented: bytes) -> bool:
        """Whether `presented` opens what is protected; anything does while no key is configured.

        Every configured key is compared, also after one has matched.
        """
        if not self._digests:
            return True
        digest = sha256(presented).digest()
        matched = False
        for known in self._digests:
            matched |= hmac.compare_digest(digest, known)
        return matched and presented != b""
