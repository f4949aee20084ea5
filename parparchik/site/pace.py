"""How often S3 is asked for a listing, at most: each costs money and S3's time, and whoever makes
up names of folders, or of pages, would have one for every request."""

from __future__ import annotations

from collections.abc import Callable

import trio

from parparchik.errors import Overloaded

BURST_S = 5.0
"""What was not asked for in this time may be asked for at once."""
LONGEST_WAIT_S = 5.0
"""For a turn."""


class Pace:
    """`per_second` turns; 0: any number. Whoever comes too early waits, in the order of coming.

    Kept as one moment, when the next turn would be due had all come evenly: the generic cell rate
    algorithm (ITU-T I.371).
    """

    __slots__ = ("_due_s", "_interval_s", "_now")

    def __init__(self, per_second: float, *, now: Callable[[], float] = trio.current_time) -> None:
        self._interval_s = 1 / per_second if per_second else 0.0
        self._now = now
        self._due_s = -BURST_S

    async def turn(self) -> None:
        """Raises Overloaded where it would take longer than `LONGEST_WAIT_S`."""
        now_s = self._now()
        due_s = max(self._due_s, now_s - BURST_S)
        wait_s = due_s - now_s
        if wait_s > LONGEST_WAIT_S:
            raise Overloaded("too many folders are being listed", retry_after_s=round(wait_s))
        self._due_s = due_s + self._interval_s
        if wait_s > 0:
            await trio.sleep(wait_s)
