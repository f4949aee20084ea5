"""Request target to object: `<mount><bucket>/<key>`, the key exactly as it came.

Everything behind the slash that ends the bucket is the key, percent-decoded once: `+` is a plus,
`//` an empty segment, and `/objects/b//k` the key `/k`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from parparchik.errors import BadTarget
from parparchik.routes import check_key, decode_segment, path_of

_UNRESERVED_IN_PATHS = "/!$&'()*+,;=:@~"  # RFC 3986 section 3.3, but for letters and digits


class EmptyKey(BadTarget):
    """The target names a bucket and no object in it."""


@dataclass(frozen=True, slots=True)
class Place:
    """`key` '': none given. `query` is what stands behind the `?`, as it came."""

    bucket: str
    key: str
    query: bytes


def encoded_mount(mount: str) -> bytes:
    """A mount as it stands in request targets."""
    return quote(mount, safe=_UNRESERVED_IN_PATHS).encode()


def parse(target: bytes, mount: bytes) -> Place:
    """What a target below `mount`, which begins and ends with a slash, names. Raises BadTarget."""
    path = path_of(target)
    if not path.startswith(mount) and path + b"/" != mount:
        raise BadTarget(f"the path does not begin with {mount.decode()}")
    below = path[len(mount) :]
    bucket, _, key = below.partition(b"/")
    place = Place(decode_segment(bucket), decode_segment(key), target.partition(b"?")[2])
    if not place.bucket:
        raise BadTarget("the path names no bucket")
    check_key(place.bucket)
    check_key(place.key)
    return place
