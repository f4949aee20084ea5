"""The Date of answers: rendered once a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from parparchik.edge.render import ENDS, GOES_ON, date_line


class DateClock:
    """`goes_on` and `ends` are what a response has behind its request id, up to its body, on a
    connection that lives on and on one that does not; `tick` brings them up to date."""

    __slots__ = ("_now", "_second", "ends", "goes_on")

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._second = -1
        self.goes_on = self.ends = b""
        self.tick()

    def tick(self) -> None:
        second = int(self._now())
        if second != self._second:
            self._second = second
            line = date_line(second)
            self.goes_on = line + GOES_ON
            self.ends = line + ENDS
