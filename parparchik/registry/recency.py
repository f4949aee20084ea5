"""How many entries changed lately, without a scan of all entries at every scrape."""

from __future__ import annotations

_MINUTE_S = 60
WEEK_S = 7 * 86_400
MONTH_S = 31 * 86_400


class Recency:
    """Counts entries by the minute of their last modification.

    Only minutes that can still be recent are kept: an entry only grows older, so one that was
    older than a month when the process began never counts. At most 44,640 minutes and those of
    the process's own life are held, however many entries there are; `count_since` sums them.
    """

    __slots__ = ("_floor", "_minutes")

    def __init__(self, now_s: float) -> None:
        self._floor = int(now_s - MONTH_S) // _MINUTE_S
        self._minutes: dict[int, int] = {}

    @property
    def floor_s(self) -> int:
        """Times before it never count."""
        return self._floor * _MINUTE_S

    def add(self, last_modified_s: int, change: int) -> None:
        """Count `change` (+1 or -1) entries modified at `last_modified_s`."""
        minute = last_modified_s // _MINUTE_S
        if minute < self._floor:
            return
        count = self._minutes.get(minute, 0) + change
        if count:
            self._minutes[minute] = count
        else:
            self._minutes.pop(minute, None)

    def count_since(self, now_s: float, age_s: int) -> int:
        """Entries at most `age_s` seconds old, exact to the minute; a time in the future (the
        server's clock is ahead of ours) counts as just now."""
        oldest = int(now_s - age_s) // _MINUTE_S
        return sum(count for minute, count in self._minutes.items() if minute >= oldest)

    def forget_before(self, now_s: float) -> None:
        """Drop the minutes that can never be recent again."""
        floor = int(now_s - MONTH_S) // _MINUTE_S
        if floor > self._floor:
            self._floor = floor
            for minute in [m for m in self._minutes if m < floor]:
                del self._minutes[minute]
