"""Did you mean: for a name that no row of the table has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_CLOSENESS = 0.75


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most resembles, or None where nothing is near."""
    by_folded = {one.lower(): one for one in known}
    close = get_close_matches(name.lower()[:200], by_folded, n=1, cutoff=_CLOSENESS)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message: empty where nothing is near."""
    meant = near_miss(name, known)
    return f"; did you mean {meant}?" if meant else ""
