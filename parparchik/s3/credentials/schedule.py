"""When to ask again: pure arithmetic.

AWS's tools begin to renew 15 minutes before the end and insist from 10 minutes on, and their
endpoints have fresh credentials ready at least 5 minutes before it. Credentials with a short life
get a share of it in place of minutes. Chance spreads a fleet's requests; `chance` is in [0, 1).
"""

from __future__ import annotations

_LEAD_MAX_S = 15 * 60.0
_LEAD_SHARE = 1 / 3  # of the life that is left
_JITTER_SHARE = 1 / 3  # of the lead: 15 minutes become 10 to 15
_UNCHANGED_S = 60.0
_BACKOFF_FIRST_S = 1.0
_BACKOFF_MAX_S = 60.0
_SHORTEST_S = 1.0  # between two requests that both went well


def renew_in_s(life_s: float, *, chance: float) -> float:
    """How long to use credentials that end in `life_s` before asking for new ones."""
    lead_s = min(_LEAD_MAX_S, life_s * _LEAD_SHARE) * (1 - chance * _JITTER_SHARE)
    return max(_SHORTEST_S, life_s - lead_s)


def ask_again_in_s(life_s: float) -> float:
    """How long to wait when the answer was the credentials that we had: the source has no new
    ones yet, and `life_s` are left."""
    return max(_SHORTEST_S, min(_UNCHANGED_S, life_s * _LEAD_SHARE))


def backoff_s(failures: int, *, chance: float) -> float:
    """How long to wait after the n-th failure in a row: exponential, with full jitter (AWS
    Architecture Blog, "Exponential Backoff And Jitter")."""
    return min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 16)) * chance
