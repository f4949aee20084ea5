"""The disk tier against a model: what it keeps is exactly what was used last and fits."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.cache.disk.format import cost_bytes, footer, trailer
from parparchik.cache.tiers import OpenPiece, PieceName
from tests.cache.disks import (
    NOW_S,
    content,
    load,
    name,
    piece,
    piece_files,
    read,
    record,
    running,
    used_bytes,
)

Step = tuple[Literal["save", "open", "forget"], int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["save"] * 4 + ["open"] * 4 + ["forget"]),
        st.integers(0, 5),
        st.sampled_from([3000, 3000, 3000, 0, 9000, 30_000]),
    ),
    min_size=20,
    max_size=60,
)
BUDGET = 60_000


def cost_of(key: str, size: int) -> int:
    encoded = footer(piece(key), record(size), "0" * 16, 1)
    return cost_bytes(size + len(encoded) + len(trailer(encoded, 0, bytes(32))))


class Model:
    """Least recently used first; the budget in bytes, and a number of files."""

    def __init__(self, files_max: int) -> None:
        self.pieces: OrderedDict[str, int] = OrderedDict()
        self.files_max = files_max

    def save(self, key: str, size: int) -> bool:
        if self.pieces.get(key) == size:
            return True
        if cost_of(key, size) > BUDGET:
            return False
        # The new one is written before the old one goes: both need room.
        while self.pieces and (
            self.cost + cost_of(key, size) > BUDGET or len(self.pieces) >= self.files_max
        ):
            self.pieces.popitem(last=False)
        self.pieces[key] = size
        self.pieces.move_to_end(key)
        return True

    def open(self, key: str) -> None:
        self.pieces.move_to_end(key)

    @property
    def cost(self) -> int:
        return sum(cost_of(key, size) for key, size in self.pieces.items())


@settings(max_examples=30, deadline=None)
@given(steps=STEPS, files_max=st.integers(1, 10))
def test_it_keeps_what_the_model_keeps(steps: list[Step], files_max: int) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as directory:
            await compare(Path(directory), steps, files_max)

    trio.run(main)


async def compare(directory: Path, steps: list[Step], files_max: int) -> None:
    model = Model(files_max)
    sizes: dict[str, int] = {}
    async with running(directory, BUDGET, files_max=files_max) as disk:
        for step, number, size in steps:
            key = f"{number}"
            if step == "save":
                sizes[key] = size
                # Its size is its generation.
                kept = await disk.save(piece(key), record(size), [content(key, size)])
                assert kept == model.save(key, size)
            elif step == "forget":
                disk.forget(name(key))
                model.pieces.pop(key, None)
            elif key in model.pieces:
                data = await load(disk, piece(key), record(model.pieces[key]))
                assert data == content(key, model.pieces[key])
                model.open(key)
            for saved, known in sizes.items():
                assert disk.has(piece(saved), record(known)) == (model.pieces.get(saved) == known)
            assert used_bytes_while_it_changes(directory) <= BUDGET
        assert await disk.settle()
        statistics = disk.statistics()
        assert statistics.bytes == used_bytes(directory) == model.cost
        assert statistics.files == len(piece_files(directory)) == len(model.pieces)
        assert statistics.leaving_bytes == 0


async def test_many_at_once_never_exceed_the_budget(tmp_path: Path) -> None:
    """Saves, readers and what is forgotten, all at once; the disk itself is looked at."""
    highest = 0
    budget = 40 * cost_of("00", 20_000)
    at_once = trio.Semaphore(20)
    async with running(tmp_path, budget) as disk, trio.open_nursery() as nursery:

        async def save(number: int) -> None:
            key = f"{number % 100}"
            data = content(key, 20_000)
            async with at_once:
                await disk.save(piece(key), record(20_000), [data])
                opened = await disk.open(piece(key), record(20_000))
                if opened is not None:
                    await trio.sleep(0.001)
                    assert read(opened) == data
                    opened.close()
            if number % 11 == 0:
                disk.forget(name(key))

        async def watch() -> None:
            nonlocal highest
            while True:
                highest = max(highest, used_bytes_while_it_changes(tmp_path))
                await trio.sleep(0.0005)

        async with trio.open_nursery() as savers:
            nursery.start_soon(watch)
            for number in range(400):
                savers.start_soon(save, number)
        assert await disk.settle()
        nursery.cancel_scope.cancel()
        statistics = disk.statistics()
        assert statistics.bytes == used_bytes(tmp_path)
        assert statistics.leaving_bytes == 0
        assert statistics.saves > 100
    assert budget // 2 < highest <= budget


def used_bytes_while_it_changes(directory: Path) -> int:
    """What gets its name meanwhile is seen twice and counted once. Nothing begins to be written
    meanwhile: the event loop waits for this, and it is what decides so."""
    seen: dict[int, int] = {}
    for path in (*directory.glob("tmp/*"), *directory.glob("??/??/*")):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        seen[status.st_ino] = -(-status.st_size // 4096) * 4096 + 4096
    return sum(seen.values())


async def test_what_is_being_read_is_not_evicted(tmp_path: Path) -> None:
    """It would give nothing back. Where all is being read, nothing more is kept."""
    budget = 3 * cost_of("0", 5000)
    known = record(5000)

    async with running(tmp_path, budget) as disk:

        async def reader(key: str) -> OpenPiece:
            opened = await disk.open(piece(key), known)
            assert opened is not None
            return opened

        async def save(what: PieceName) -> bool:
            return await disk.save(what, known, [content(what.name.key, 5000)])

        for key in "012":
            assert await save(piece(key))
        oldest = await reader("0")
        for key in "12":
            assert await load(disk, piece(key), known) is not None
        others = [await reader("1"), await reader("2")]
        assert not await save(piece("3"))
        others[0].close()
        assert await save(piece("3"))
        assert [disk.has(piece(key), known) for key in "0123"] == [True, False, True, True]
        assert read(oldest) == content("0", 5000)
        oldest.close()
        others[1].close()
        assert disk.statistics().evictions == 1
        assert disk.statistics().evicted_at_s == NOW_S


@pytest.mark.parametrize("slack", [-1, 0])
async def test_a_piece_as_large_as_the_budget(tmp_path: Path, slack: int) -> None:
    async with running(tmp_path, cost_of("a", 5000) + slack) as disk:
        kept = await disk.save(piece("a"), record(5000), [content("a", 5000)])
        assert kept == (slack == 0)
