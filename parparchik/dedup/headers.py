"""What a request's headers say of its body, of what it accepts, and of who sends it. Pure."""

from __future__ import annotations

import re
from base64 import b64decode

from parparchik.dedup.receive import Expected, parse_expected
from parparchik.errors import ClientError
from parparchik.model import Request
from parparchik.rfc import choose_coding

_SIZE = re.compile(rb"[0-9]{1,18}")
_LONGEST_DIGEST = 128  # bytes; one has 64


def accepts_gzip(request: Request) -> bool:
    """Unless the client refuses it, by naming what it accepts: not a word is no refusal."""
    if not any(name == b"accept-encoding" for name, _ in request.headers):
        return True
    accepted = request.header(b"accept-encoding").decode("latin-1")
    return choose_coding(accepted, ("gzip",)) == "gzip"


def is_gzip(request: Request) -> bool:
    """Whether the body is. Raises ClientError for another coding."""
    coding = request.header(b"content-encoding").lower()
    if coding in (b"gzip", b"x-gzip"):
        return True
    if coding in (b"", b"identity"):
        return False
    raise ClientError("Content-Encoding: only gzip is understood")


def expected_of(request: Request) -> Expected:
    """What the client says of the content. Raises ClientError for what no content can have."""
    digest = request.header(b"sha256-checksum")
    size = request.header(b"logical-size")
    if len(digest) > _LONGEST_DIGEST:
        raise ClientError("SHA256-Checksum is not 64 hexadecimal digits")
    if size and not _SIZE.fullmatch(size):
        raise ClientError("Logical-Size is not a number of bytes")
    return parse_expected(digest.decode("latin-1"), int(size) if size else None)


def api_key_of(request: Request) -> bytes:
    """Also the password of Basic authentication (RFC 7617): it is the one that filetracker's client
    can be given, in its server's URL."""
    if request.api_key:
        return request.api_key
    scheme, _, credentials = request.header(b"authorization").partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""
