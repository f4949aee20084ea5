"""Which content coding a client gets (RFC 9110 section 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType

IDENTITY = "identity"

_MEMBER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    r"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}  # section 8.4.1
_MAX_BYTES = 1024  # no browser sends more than a hundred


@lru_cache(maxsize=512)
def parse_accept_encoding(text: str) -> MappingProxyType[str, float]:
    """Codings, in lower case, and their weights from 0 (refused) to 1. Never raises: a member that
    is malformed counts for nothing, and so does all of what is absurdly long."""
    weights: dict[str, float] = {}
    if len(text) <= _MAX_BYTES:
        for member in text.split(","):
            found = _MEMBER.fullmatch(member.strip(" \t"))
            if found is not None:
                coding = found[1].lower()
                weights.setdefault(_ALIASES.get(coding, coding), float(found[2] or "1"))
    return MappingProxyType(weights)


def choose_coding(accept_encoding: str, offered: Iterable[str]) -> str:
    """The best of the codings `offered`, ours first, that the client accepts, or "identity".

    The highest weight wins, then the order of the offer. Identity is what a client gets who names
    nothing, or who gives it, by name, more weight than what we offer; `*` does not lift it above a
    coding. A client that refuses it gets it all the same where nothing offered is acceptable:
    better than nothing (section 12.5.3, last paragraph).
    """
    weights = parse_accept_encoding(accept_encoding)
    best, best_weight = IDENTITY, weights.get(IDENTITY, 0.0)
    others = weights.get("*", 0.0)
    for coding in offered:
        weight = weights.get(coding, others)
        if weight > best_weight or (weight == best_weight > 0 and best == IDENTITY):
            best, best_weight = coding, weight
    return best
