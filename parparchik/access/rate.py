"""How many requests each client may make: a token bucket for each. Pure.

A bucket holds `burst` tokens and gets `per_second` of them a second; a request takes one.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_CLIENTS = 65_536
"""Known at a time; who has not asked for longest is forgotten first, and then has a full bucket."""

_SPARE = 1e-3
"""Of a token, that may be missing: whoever waits as long as told must not fail for a rounding."""


class TokenBuckets:
    """`burst` is at least 1, `per_second` more than 0. Times are seconds of one clock, which never
    goes back."""

    __slots__ = ("_burst", "_known", "_max_clients", "_per_second")

    def __init__(self, per_second: float, burst: int, *, max_clients: int = MAX_CLIENTS) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._max_clients = max_clients
        # Tokens, and when they were counted; the client that asked last is the last.
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, client: str, now_s: float) -> float:
        """0.0: `client` had a token, and has one less. Else how many seconds it will be until it
        has one; then nothing is taken."""
        tokens, counted_s = self._known.get(client, (self._burst, now_s))
        tokens = min(tokens + (now_s - counted_s) * self._per_second, self._burst)
        wait_s = 0.0
        if tokens >= 1 - _SPARE:
            tokens -= 1
        else:
            wait_s = (1 - tokens) / self._per_second
        self._known[client] = tokens, now_s
        self._known.move_to_end(client)
        if len(self._known) > self._max_clients:
            self._known.popitem(last=False)
        return wait_s
