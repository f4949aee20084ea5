"""One request head, read so strictly that no other server can read it differently.

There is one parser here, and the edge and the judge of what others serve both use it. What it
accepts, h11 and llhttp accept with the same result (the tests hold it against both); where these
two differ it takes neither side and refuses. Grammar: RFC 9112 sections 2 to 6.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"

_head = re.compile(
    rb"(%b) ([\x21-\x7e]++) HTTP/1\.([01])\r\n((?:%b:%b\r\n)*+)\r\n" % (_TOKEN, _TOKEN, _VALUE)
)
_field = re.compile(rb"(%b):[ \t]*+([^\r]*+)\r\n" % _TOKEN)
_fields = re.compile(rb"(?:%b:%b\r\n)*+\r\n" % (_TOKEN, _VALUE))
_AUTHORITY = rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+;=]+)(?::[0-9]{0,5})?"
_authority = re.compile(_AUTHORITY)
_target = re.compile(rb"/.*|https?://%b(?:[/?].*)?|\*" % _AUTHORITY, re.IGNORECASE)
_digits = re.compile(rb"[0-9]{1,18}")

# A bare CR is one that a LF does not follow; at the end of what has come it still may.
_never_in_a_head = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?![\n])(?!\Z)")
_request_line = re.compile(rb"%b [\x21-\x7e]++ HTTP/[0-9]\.[0-9]" % _TOKEN)

_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding", b"host"})

Fields = list[tuple[bytes, bytes]]


class Unsound(Exception):
    """What has come is no request that all servers read alike. `status` is what it is answered."""

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Head(NamedTuple):
    """`fields` have lower-case names. `content_length` is None where there is none; `chunked`
    and it exclude each other. `keep_alive`: the client may send another request."""

    method: bytes
    target: bytes
    version: bytes
    fields: Fields
    content_length: int | None
    chunked: bool
    keep_alive: bool
    upgrade: bytes
    expects: bool


def parse_head(data: bytes) -> Head:
    """The head that `data` is, from its request line to its empty line. Raises Unsound."""
    match = _head.fullmatch(data)
    if match is None:
        raise _diagnose(data)
    method, target, minor, block = match.groups()
    hosts = 0
    content_length = None
    chunked = expects = False
    keep_alive = minor == b"1"
    upgrade = b""
    fields: Fields = []
    for raw_name, padded in _field.findall(block):
        name = raw_name.lower()
        value = padded.rstrip(b" \t")
        fields.append((name, value))
        if name == b"host":
            hosts += 1
            if hosts > 1:
                raise Unsound("repeated Host")
            if _authority.fullmatch(value) is None:
                raise Unsound("bad Host")
        elif name == b"content-length":
            if content_length is not None:
                raise Unsound("repeated Content-Length")
            if _digits.fullmatch(value) is None:
                raise Unsound("bad Content-Length")
            content_length = int(value)
        elif name == b"transfer-encoding":
            if chunked:
                raise Unsound("repeated Transfer-Encoding")
            if value.lower() != b"chunked":
                raise Unsound("bad Transfer-Encoding")
            chunked = True
        elif name == b"connection":
            tokens = [token.strip(b" \t") for token in value.lower().split(b",")]
            keep_alive = keep_alive and b"close" not in tokens
        elif name == b"upgrade":
            upgrade = value or b"?"
        elif name == b"expect":
            expects = True
    if chunked and content_length is not None:
        raise Unsound("Transfer-Encoding with Content-Length")
    if chunked and minor == b"0":
        raise Unsound("Transfer-Encoding in HTTP/1.0")
    if not hosts and minor == b"1":
        raise Unsound("missing Host")
    _check_target(method, target)
    return Head(
        *(method, target, minor, fields, content_length, chunked, keep_alive, upgrade, expects)
    )


def check_trailer(data: bytes) -> None:
    """A chunked body's trailer section, from behind the last chunk to the empty line. Raises
    Unsound."""
    if _fields.fullmatch(data) is None:
        raise _diagnose_fields(data) or Unsound("bad trailer")
    if any(name.lower() in _FRAMING_FIELDS for name, _ in _field.findall(data)):
        raise Unsound("framing in a trailer")


def check_beginning(data: bytes, start: int) -> None:
    """Refuse at once what no more bytes can make a head; `data` before `start` has been looked
    at. Raises Unsound."""
    if data[:1] in b"\r\n":
        raise Unsound("no request line")
    # One byte back: what ended with a CR then may have gone on with something else than LF.
    if _never_in_a_head.search(data, max(0, start - 1)):
        raise _diagnose(data)


def _check_target(method: bytes, target: bytes) -> None:
    """RFC 9112 section 3.2: each form for the methods that it is for."""
    if method == b"CONNECT":
        sound = _authority.fullmatch(target) is not None
    elif target == b"*":
        sound = method == b"OPTIONS"
    else:
        sound = _target.fullmatch(target) is not None
    if not sound:
        raise Unsound("bad request target")


def _diagnose(data: bytes) -> Unsound:
    """Why `data` is not a head: the first thing that is wrong with it, by name."""
    line, _, rest = data.partition(b"\r\n")
    found = _never_in_a_head.search(data)
    if found is not None:
        return Unsound("bare CR or LF" if found[0] in b"\r\n" else "control character")
    if not line:
        return Unsound("no request line")
    if _request_line.fullmatch(line) is None:
        return Unsound("bad request line")
    if line[-3:] not in (b"1.0", b"1.1"):
        return Unsound("bad HTTP version")
    return _diagnose_fields(rest) or Unsound("bad header field")


def _diagnose_fields(block: bytes) -> Unsound | None:
    found = _never_in_a_head.search(block)
    if found is not None:
        return Unsound("bare CR or LF" if found[0] in b"\r\n" else "control character")
    for line in block.split(b"\r\n"):
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            return Unsound("obs-fold")
        if colon and name != name.rstrip(b" \t"):
            return Unsound("space before the colon")
    return None
