"""The order is exact, the budget is kept, whatever happens to the items."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from parparchik.cache.lru import Lru
from parparchik.cache.piece import JOINED_BYTES, Piece

BUDGET = 100
ITEMS = st.sampled_from("abcdefgh")


class LruMachine(RuleBasedStateMachine):
    """Beside the Lru a list of (item, cost), the longest unused first."""

    def __init__(self) -> None:
        super().__init__()
        self.evicted: list[str] = []
        self.lru: Lru[str] = Lru(BUDGET, self.evicted.append)
        self.model: list[tuple[str, int]] = []
        self.gone: list[str] = []

    @rule(item=ITEMS, cost=st.integers(0, 120))
    def add(self, item: str, cost: int) -> None:
        self.model = [kept for kept in self.model if kept[0] != item]
        added = self.lru.add(item, cost)
        assert added == (cost <= BUDGET)
        if added:
            while sum(kept[1] for kept in self.model) + cost > BUDGET:
                self.gone.append(self.model.pop(0)[0])
            self.model.append((item, cost))

    @rule(item=ITEMS)
    def touch(self, item: str) -> None:
        self.lru.touch(item)
        for kept in [kept for kept in self.model if kept[0] == item]:
            self.model.remove(kept)
            self.model.append(kept)

    @rule(item=ITEMS)
    def discard(self, item: str) -> None:
        there = any(kept[0] == item for kept in self.model)
        assert self.lru.discard(item) == there
        self.model = [kept for kept in self.model if kept[0] != item]

    @invariant()
    def the_same(self) -> None:
        assert self.lru.used_bytes == sum(kept[1] for kept in self.model) <= BUDGET
        assert len(self.lru) == len(self.model)
        assert all(kept[0] in self.lru for kept in self.model)
        assert self.evicted == self.gone
        assert self.lru.evictions == len(self.gone)


LruMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLru = LruMachine.TestCase


def test_a_piece_joins_what_is_small_and_reads_the_same() -> None:
    for size, block in [(1000, 1), (100_000, 777), (JOINED_BYTES, 1 << 16), (3 << 20, 5000)]:
        data = bytes(range(256)) * (size // 256 + 1)
        data = data[:size]
        gone: list[Piece] = []
        piece = Piece(0, size, gone.append)
        for at in range(0, size, block):
            piece.append(data[at : at + block])
        before = piece.block_at(size // 2)
        piece.finish()
        assert before is not None
        assert b"".join(piece.blocks) == data
        assert len(piece.blocks) <= max(1, size // 32_768)
        assert all(len(block) <= JOINED_BYTES for block in piece.blocks)
        for at in (0, size // 3, size - 1):
            found = piece.block_at(at)
            assert found is not None
            start, held = found
            assert held[at - start] == data[at]
        assert piece.block_at(size) is None
        assert piece.cost_bytes > size
        piece.release()
        assert gone == [piece]
        assert piece.block_at(0) is None
