"""What the parts of a cache have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parparchik.cache.background import Background
from parparchik.cache.counters import Counters
from parparchik.cache.lending import Lending
from parparchik.cache.shelf import Shelf
from parparchik.cache.slots import Slots
from parparchik.config.model import CacheConfig


@dataclass(frozen=True, slots=True)
class Workings:
    """`now` is the wall clock; all else belongs to one cache."""

    config: CacheConfig
    shelf: Shelf
    slots: Slots
    background: Background
    counters: Counters
    lending: Lending
    now: Callable[[], float]
