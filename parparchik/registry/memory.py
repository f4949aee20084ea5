"""What S3 last said of single keys, and when: that they are where their entry says, or that they
are nowhere. Both are bounded; a key that is forgotten here is asked for again, no more.

All times are monotonic.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import trio

from parparchik.config.model import RoutesConfig
from parparchik.model import ObjectHead
from parparchik.registry.resolution import Resolution
from parparchik.registry.table import Table

# Keys whose own verification is remembered, by latest use; some 400 bytes each. Any other key is
# verified when it is asked for.
VERIFIED_MAX = 100_000


class Verification:
    """The last one of a known key, and its ready answer. `gone`: its bucket has said that it has
    it no longer, and where else it is could not be told."""

    __slots__ = ("at_s", "gone", "head", "packed", "pending", "resolution")

    def __init__(self, packed: int, resolution: Resolution) -> None:
        self.packed = packed
        self.resolution = resolution
        self.at_s = -math.inf
        self.pending = False
        self.gone = False
        self.head: ObjectHead | None = None  # what `packed` was made of, where S3 has been asked


class Memory:
    """Verifications by latest use, absences by age."""

    __slots__ = ("_absent", "_config", "_fresh", "_registry", "_verified", "get")

    def __init__(self, registry: Table, config: RoutesConfig) -> None:
        self._registry = registry
        self._config = config
        self._fresh = None if config.verify == "never" else True
        self._verified: OrderedDict[str, Verification] = OrderedDict()
        self._absent: OrderedDict[str, float] = OrderedDict()  # key -> since when
        self.get = self._verified.get  # a key's verification, whatever its entry is by now

    def remember(self, key: str, packed: int, at_s: float) -> Verification:
        """That `key` was verified at `at_s` (-inf: never) to be what `packed` says."""
        known = self._verified.get(key)
        if known is None or known.packed != packed:
            resolution = Resolution(self._registry.entry(key, packed), self._fresh)
            known = self._verified[key] = Verification(packed, resolution)
            if len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)
        known.at_s = at_s
        known.pending = known.gone = False
        self._verified.move_to_end(key)
        return known

    def is_gone(self, key: str, packed: int) -> bool:
        known = self._verified.get(key)
        return known is not None and known.gone and known.packed == packed

    def remember_absent(self, key: str) -> None:
        self._verified.pop(key, None)
        if self._config.negative_ttl_s > 0:
            self._absent.pop(key, None)
            self._absent[key] = trio.current_time()
            while len(self._absent) > self._config.negative_max:
                self._absent.popitem(last=False)

    def is_absent(self, key: str) -> bool:
        """Whether it is still worth something that the key was nowhere."""
        since_s = self._absent.get(key)
        if since_s is None:
            return False
        if trio.current_time() - since_s >= self._config.negative_ttl_s:
            del self._absent[key]
            return False
        return True

    def doubt_absence(self, key: str) -> None:
        self._absent.pop(key, None)

    def doubt_absences(self) -> None:
        self._absent.clear()

    def settled_since(self, key: str, since_s: float) -> bool:
        """Whether S3 has said since then where `key` is, or that it is nowhere."""
        known = self._verified.get(key)
        if known is not None and known.at_s >= since_s:
            return True
        return self._absent.get(key, -math.inf) >= since_s

    def sizes(self) -> tuple[int, int]:
        """How many verifications and absences are remembered."""
        return len(self._verified), len(self._absent)
