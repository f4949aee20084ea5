"""What every store of metadata accepts, so that all of them refuse the same. Pure."""

from __future__ import annotations

from parparchik.errors import BadTarget

# A signed integer of 64 bits: seconds, far beyond what any date in a header can say.
OLDEST_S = -(2**63)
NEWEST_S = 2**63 - 1


def check_path(path: str) -> None:
    """Raises BadTarget where `path` is no text in UTF-8, or has a NUL, which ends it for others."""
    if "\0" in path:
        raise BadTarget("a path has no NUL")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadTarget("a path is UTF-8") from None


def check_version(version_s: int) -> None:
    """Raises BadTarget where no date could be meant."""
    if not OLDEST_S <= version_s <= NEWEST_S:
        raise BadTarget("last_modified is out of range")


def folders_above(path: str) -> list[str]:
    """`a/b/c`: `a/b` and `a`, in this order."""
    above = []
    while slash := path.rpartition("/")[0]:
        above.append(slash)
        path = slash
    return above
