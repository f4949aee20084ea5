"""Request targets to places of a site, and back. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from parparchik.errors import BadTarget
from parparchik.routes import check_key, decode_segment, path_of

_NOT_IN_A_QUERY = re.compile(rb"[^\x21-\x7e]|[\"<>]")


@dataclass(frozen=True, slots=True)
class Place:
    """`path` is what stands below the mount, decoded: '', `docs/` or `docs/a.html`. `query` is as
    it came, without its question mark. `above`: the mount itself without its slash was asked for;
    `path` is then its last segment."""

    path: str
    query: bytes = b""
    above: bool = False

    @property
    def is_folder(self) -> bool:
        return not self.path or self.path.endswith("/")

    @property
    def last_segment(self) -> str:
        """'' for a folder."""
        return self.path.rpartition("/")[2]

    @property
    def with_slash(self) -> str:
        """The Location of this place with a slash after it: relative, and beginning with a dot, so
        that nothing in the path can be taken for a scheme or another host (RFC 3986 section 4.2).
        """
        location = f"./{encode_segment(self.last_segment)}/"
        if self.query:
            location += "?" + _NOT_IN_A_QUERY.sub(_escape, self.query).decode("ascii")
        return location


def parse(target: bytes, mount: str) -> Place:
    """The place that a request target means, decoded once. Raises BadTarget for what can be none:
    dot segments, control characters, broken escapes, what is not UTF-8 or not below `mount`."""
    path = decode_segment(path_of(target))
    query = target.partition(b"?")[2]
    if path == mount[:-1]:
        return Place(path.rpartition("/")[2], query, above=True)
    if not path.startswith(mount):
        raise BadTarget("the path is not one of this site")
    below = path[len(mount) :]
    check_key(below)
    return Place(below, query)


def encode_segment(name: str) -> str:
    """A name as one segment of a relative URL."""
    return quote(name, safe="")


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
