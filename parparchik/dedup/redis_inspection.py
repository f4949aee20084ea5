"""Looking through all that Redis has, a page at a time; the scripts are `redis_integrity`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

import structlog

from parparchik.dedup import faults as names
from parparchik.dedup.faults import Fault, faults_of
from parparchik.dedup.redis_integrity import (
    CHANGES,
    COMPARE,
    INSPECT,
    SCANNED,
    SUM_BLOBS,
    SUM_FILES,
)
from parparchik.dedup.redis_scripts import Script
from parparchik.dedup.redis_server import RedisServer

PAGE = 500
_SUM_TRIES = 3

# As the scripts call them.
_NAMES = MappingProxyType(
    {
        "unknown": names.UNKNOWN_BLOB,
        "below": names.BELOW_A_FILE,
        "marked": names.ORPHANS_WITH_FILES,
        "unmarked": names.UNMARKED_ORPHANS,
        "needed": names.NEEDED_GARBAGE,
        "index": names.INDEX,
        "claims": names.CLAIMS,
        "counters": names.COUNTERS,
    }
)

_log = structlog.get_logger(__name__)


class Inspection:
    """To be used once. With `mends_at`, what can be mended is, and what was unknown to be an orphan
    is one since then."""

    def __init__(self, server: RedisServer, *, mends_at: str = "") -> None:
        self._server = server
        self._mends_at = mends_at
        self._counts: Counter[str] = Counter()

    async def faults(self) -> Sequence[Fault]:
        await self._inspect()
        return faults_of((name, self._counts[what]) for what, name in _NAMES.items())

    async def mend(self) -> int:
        await self._inspect()
        faults = faults_of((name, self._counts[what]) for what, name in _NAMES.items())
        return sum(fault.count for fault in faults if fault.mendable)

    async def _inspect(self) -> None:
        for name in SCANNED:
            cursor = ""
            while cursor != "0":
                asked = (name, cursor or "0", str(PAGE), self._mends_at)
                cursor, *found = await self._server.run(INSPECT, *asked)
                for what, count in zip(found[::2], found[1::2], strict=True):
                    self._counts[what] += int(count)
        self._counts["counters"] = await self._compare()

    async def _compare(self) -> int:
        """How many counters are wrong. Those of a store that is never at rest cannot be told."""
        for _ in range(_SUM_TRIES):
            changes = await self._server.read(CHANGES)
            sums = (await self._sum(SUM_FILES), await self._sum(SUM_BLOBS))
            asked = (changes, *map(str, sums), "1" if self._mends_at else "")
            wrong = await self._server.run(COMPARE, *asked)
            if wrong is not None:
                return int(wrong)
        _log.info("counters were not compared: files change all the time")
        return 0

    async def _sum(self, script: Script) -> int:
        after, total, looked_at = "-", 0, PAGE
        while looked_at == PAGE:
            looked_at, last, part = await self._server.read(script, after, str(PAGE))
            after = f"({last}"
            total += int(part)
        return total
