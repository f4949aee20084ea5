"""What was used last stays: an exact order of use under an exact budget. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lru(Generic[T]):
    """Items, told by their hash, each with what it costs. What is retained never costs more than
    the budget, not even for a moment.

    `on_evict` is called for what had to go for another's sake. It may discard further items, and
    adds none.
    """

    __slots__ = ("_costs", "_on_evict", "budget_bytes", "evictions", "used_bytes")

    def __init__(self, budget_bytes: int, on_evict: Callable[[T], None]) -> None:
        self._costs: OrderedDict[T, int] = OrderedDict()  # the longest unused first
        self._on_evict = on_evict
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._costs)

    def __contains__(self, item: T) -> bool:
        return item in self._costs

    def add(self, item: T, cost_bytes: int) -> bool:
        """Retain it as the one used last, at this cost from now on. False, and nothing else goes
        for it, where it alone costs more than the budget: it is not retained."""
        self.discard(item)
        if cost_bytes > self.budget_bytes:
            return False
        while self.used_bytes + cost_bytes > self.budget_bytes:
            oldest, cost = self._costs.popitem(last=False)
            self.used_bytes -= cost
            self.evictions += 1
            self._on_evict(oldest)
        self._costs[item] = cost_bytes
        self.used_bytes += cost_bytes
        return True

    def touch(self, item: T) -> None:
        """It is used just now; nothing where it is not retained."""
        if item in self._costs:
            self._costs.move_to_end(item)

    def discard(self, item: T) -> bool:
        """Whether it was retained until now."""
        cost = self._costs.pop(item, None)
        if cost is None:
            return False
        self.used_bytes -= cost
        return True
