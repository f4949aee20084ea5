"""The fields of a request in HTTP/2, judged as those of HTTP/1.1 are, and with the same answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parparchik.edge import Judge, Refusal

_PSEUDO_FIELDS = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_OF_CONNECTIONS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_regular_name = re.compile(rb"[^A-Z:\x00-\x20\x7f-\xff]+")
_never_in_a_value = re.compile(rb"[\r\n\x00]|\A[ \t]|[ \t]\Z")

MALFORMED = Refusal(400, "malformed header field")


def refusal_of(fields: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """Why a request with these fields, pseudo-fields first, is not to be answered. RFC 9113
    section 8.2 and 8.3; for the rest it is what it would be in HTTP/1.1."""
    pseudo: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    for name, value in fields:
        if _never_in_a_value.search(value):
            return MALFORMED
        if name.startswith(b":"):
            if lines or name in pseudo or name not in _PSEUDO_FIELDS:
                return Refusal(400, "bad pseudo-header field")
            pseudo[name] = value
        elif (
            _regular_name.fullmatch(name) is None
            or name in _OF_CONNECTIONS
            or (name == b"te" and value != b"trailers")
        ):
            return MALFORMED
        elif name != b"host" or b":authority" not in pseudo:
            lines.append(name + b": " + value)
        elif value != pseudo[b":authority"]:
            return Refusal(400, "repeated Host")
    if not {b":method", b":scheme", b":path"} <= pseudo.keys():
        return Refusal(400, "bad pseudo-header field")
    if b":authority" in pseudo:
        lines.append(b"host: " + pseudo[b":authority"])
    if not pseudo[b":path"].startswith((b"/", b"*")):
        return Refusal(400, "bad request target")
    # A tunnel's request has a path here; in HTTP/1.1 that is a GET with an Upgrade.
    method = b"GET" if b":protocol" in pseudo else pseudo[b":method"]
    line = b"%b %b HTTP/1.1" % (method, pseudo[b":path"])
    return Judge().feed(b"\r\n".join((line, *lines, b"", b""))).refusal
