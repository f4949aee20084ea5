"""Request target to key: what a URL of ours asks for. Pure.

A route is `/<namespace>/<key>`. The namespace is a bucket's name, or `public` or `private` for
whichever buckets are so; a bucket that is really called `public` wins over the alias. Everything
behind the second slash is the key, percent-decoded once and otherwise as it came: `+` is a plus,
`//` an empty segment, `/b//k` the key `/k`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from parparchik.errors import BadTarget
from parparchik.model import Bucket, Entry, Headers

MAX_KEY_BYTES = 1024  # S3: "the name for a key ... 1,024 bytes long" in UTF-8

Kind = Literal["bucket", "public", "private"]

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DOT_SEGMENT = re.compile(r"(?:^|/)\.\.?(?:/|$)")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Namespace:
    """The first segment of a route. `bucket` is set where it names one."""

    name: str
    kind: Kind
    public: bool
    bucket: Bucket | None = None

    def is_route_of(self, entry: Entry) -> bool:
        """Whether this is where `entry` is, in the strict reading: no moved files."""
        if self.bucket is not None:
            return self.bucket.name == entry.bucket.name
        return self.public == entry.bucket.public


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed route. `namespace` None: no bucket and no alias of ours; `key` '': none given."""

    route: str
    key: str
    namespace: Namespace | None


def check_key(key: str) -> None:
    """Raise BadTarget, with the reason, unless `key` can be a key of ours."""
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise BadTarget(f"the key has {size} bytes of UTF-8; S3 allows {MAX_KEY_BYTES}")
    if found := _CONTROL.search(key):
        raise BadTarget(f"the key has the control character U+{ord(found[0]):04X}")
    if _DOT_SEGMENT.search(key):
        raise BadTarget("the key has a '.' or '..' segment, which clients and proxies resolve")


def normalise(target: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """A request target in origin form, without an empty query, and the headers that go with it.

    The absolute form has to be accepted, and its authority goes before the Host field (RFC 9112
    section 3.2.2). What is neither stays as it is.
    """
    authority, target = _origin_form(target)
    if authority:
        headers = ((b"host", authority), *(field for field in headers if field[0] != b"host"))
    return target.removesuffix(b"?") if target.count(b"?") == 1 else target, headers


def path_of(target: bytes) -> bytes:
    """The path of a request target, still encoded, without its authority and its query."""
    return _origin_form(target)[1].partition(b"?")[0]


def _origin_form(target: bytes) -> tuple[bytes, bytes]:
    """(authority, target in origin form); the authority is b'' where none is given."""
    match = None if target.startswith(b"/") else _ABSOLUTE_FORM.match(target)
    if match is None:
        return b"", target
    rest = target[match.end() :]
    return match[1], rest if rest.startswith(b"/") else b"/" + rest


def decode_segment(raw: bytes) -> str:
    """Percent-decoded UTF-8. Raises BadTarget."""
    if _BROKEN_ESCAPE.search(raw):
        raise BadTarget("the path has a '%' that no two hexadecimal digits follow")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadTarget("the path is not valid UTF-8 when decoded") from None


class Namespaces:
    """The namespaces of a set of buckets."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._by_name = {
            "public": Namespace("public", "public", public=True),
            "private": Namespace("private", "private", public=False),
        }
        for bucket in buckets:
            self._by_name[bucket.name] = Namespace(bucket.name, "bucket", bucket.public, bucket)

    def parse(self, target: bytes) -> Target:
        """What a request target asks for. Raises BadTarget (400) for what can be no route."""
        path = path_of(target)
        if not path.startswith(b"/"):
            raise BadTarget("the request target is not a path")
        first, _, rest = path[1:].partition(b"/")
        name, key = decode_segment(first), decode_segment(rest)
        check_key(name)
        check_key(key)
        return Target(f"/{name}/{key}" if rest else f"/{name}", key, self._by_name.get(name))
