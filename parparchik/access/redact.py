"""What of a URL may be written into a log: everything but what opens a door.

A presigned URL is a capability: whoever reads its signature may fetch the object until it expires.
Request targets are treated alike, since clients put keys into queries and hand presigned URLs on.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

REDACTED = b"[redacted]"

_TELLTALES = (b"auth", b"credential", b"key", b"password", b"secret", b"signature", b"token")


def redact_url(url: bytes) -> str:
    """`url` (or a request target) with the values of its secret query parameters replaced.

    Secret is every `X-Amz-*` parameter and every one whose name, percent-decoded, speaks of a key,
    a token or the like. What is not ASCII is written as backslash escapes.
    """
    address, mark, query = url.partition(b"?")
    if mark:
        url = address + mark + b"&".join(_redact_pair(pair) for pair in query.split(b"&"))
    return url.decode("ascii", "backslashreplace")


def _redact_pair(pair: bytes) -> bytes:
    name, equals, _ = pair.partition(b"=")
    plain = unquote_to_bytes(name.replace(b"+", b" ")).lower()
    if equals and (b"x-amz-" in plain or any(word in plain for word in _TELLTALES)):
        return name + equals + REDACTED
    return pair
