"""Request target to what it is about: `<mount>files/<path>`, `<mount>list/<path>`. Pure.

Clients put a path together from the server's URL and a name that begins with a slash, so that a URL
which ends with one gives two: slashes before the endpoint are as one, and a slash at the end means
nothing. Between the segments of a path there is exactly one.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from parparchik.errors import BadTarget
from parparchik.routes import decode_segment, path_of

LONGEST_PATH_BYTES = 4096  # Linux's PATH_MAX: what a filetracker server could have stored
_MOST_PARAMETERS = 100
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # a line feed ends a path of a list


class Place(NamedTuple):
    """`endpoint` is `files`, `list`, `version`, or what a client took for one. `path` has no slash
    at its ends; '' is the root. `query` is what stands behind the `?`, as it came."""

    endpoint: str
    path: str
    query: bytes


def parse(target: bytes, mount: str) -> Place:
    """What a target below `mount`, which begins and ends with a slash, is about. Raises
    BadTarget."""
    path = decode_segment(path_of(target))
    if not path.startswith(mount) and f"{path}/" != mount:
        raise BadTarget(f"the path does not begin with {mount}")
    endpoint, _, rest = path[len(mount) :].lstrip("/").partition("/")
    rest = rest.removesuffix("/")
    check_path(rest)
    if endpoint in (".", ".."):
        raise BadTarget("the path has a '.' or '..' segment")
    return Place(endpoint, rest, target.partition(b"?")[2])


def check_path(path: str) -> None:
    """Raises BadTarget, with the reason, unless `path` is '' or can be a file's."""
    if not path:
        return
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise BadTarget("the path is not UTF-8") from None
    if size > LONGEST_PATH_BYTES:
        raise BadTarget(f"the path has {size} bytes of UTF-8; {LONGEST_PATH_BYTES} are allowed")
    if found := _CONTROL.search(path):
        raise BadTarget(f"the path has the control character U+{ord(found[0]):04X}")
    for segment in path.split("/"):
        if segment in (".", ".."):
            raise BadTarget("the path has a '.' or '..' segment")
        if not segment:
            raise BadTarget("the path has an empty segment")


def relative_to(folder: str, path: str) -> str:
    """A path that lies below `folder` ('': the root), as seen from there."""
    return path[len(folder) + 1 :] if folder else path


def parameter(query: bytes, name: str) -> str:
    """The value of a query parameter as forms encode it (`+` is a space); '' where it is missing
    or empty. Raises BadTarget where it stands there twice, and for what is no UTF-8."""
    pairs = query.split(b"&", _MOST_PARAMETERS)
    if len(pairs) > _MOST_PARAMETERS:
        raise BadTarget(f"the query has more than {_MOST_PARAMETERS} parameters")
    found = []
    for pair in pairs:
        key, _, value = pair.partition(b"=")
        if _form_decoded(key) == name:
            found.append(_form_decoded(value))
    if len(found) > 1:
        raise BadTarget(f"{name} stands twice in the query")
    return found[0] if found else ""


def _form_decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadTarget("the query is not percent-encoded UTF-8") from None
