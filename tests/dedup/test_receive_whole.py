"""A body that has come whole is taken in one go: with the same outcome as when it is read."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import outcome
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from parparchik.dedup.compress import Bounds
from parparchik.dedup.receive import NOTHING_EXPECTED, Body, Expected
from parparchik.dedup.spool import SpoolLimits, Spools
from parparchik.dedup.writers import Writers
from parparchik.errors import TooLarge
from tests.dedup.bed import digest_of, hint, packed
from tests.dedup.test_receive import made_of
from tests.fakes_bytes import FakeUpload

INLINE = 16 * 1024
INLINE_GZIP = 4 * 1024
TIGHT = Bounds(
    max_body_bytes=8000,
    max_logical_bytes=9000,
    max_ratio=20,
    ratio_free_bytes=1000,
    max_padding=3,
    padding_free_bytes=500,
)


@dataclass(frozen=True)
class Sent:
    """A body, what is said of its content, and what is taken."""

    data: bytes
    is_gzip: bool
    expected: Expected = NOTHING_EXPECTED
    bounds: Bounds = TIGHT
    is_announced: bool = True

    def body(self) -> Body:
        size_bytes = len(self.data) if self.is_announced else None
        upload = FakeUpload(self.data, size_bytes=size_bytes)
        return Body(upload, self.expected, self.bounds, gzip=self.is_gzip, level=6)


def content() -> st.SearchStrategy[bytes]:
    dull = st.integers(0, 12_000).map(bytes)
    return st.one_of(st.binary(max_size=300), dull, st.tuples(dull, st.binary()).map(b"".join))


@st.composite
def bodies(draw: st.DrawFn) -> Sent:
    data, is_gzip = draw(content()), draw(st.booleans())
    expected = draw(
        st.sampled_from([
            NOTHING_EXPECTED,
            hint(data),
            Expected(digest_of(data), None),
            Expected("", len(data)),
            Expected("0" * 64, len(data)),
            Expected(digest_of(data), len(data) + 1),
            Expected("", max(0, len(data) - 1)),
        ])
    )  # fmt: skip
    sent = data
    if is_gzip:
        sent = draw(st.sampled_from([packed(data), packed(data) + packed(b""), packed(data[:9])]))
        sent += bytes(draw(st.sampled_from([0, 1, 600])))
        if draw(st.booleans()):
            sent = sent[: draw(st.integers(0, len(sent)))]
    bounds = draw(st.sampled_from([TIGHT, Bounds()]))
    return Sent(sent, is_gzip, expected, bounds, draw(st.booleans()))


def came_of(made: outcome.Outcome[bytes | None], body: Body) -> object:
    """All that anybody learns."""
    if isinstance(made, outcome.Error):
        return type(made.error), str(made.error)
    packer = body.packer
    figures = (packer.digest, packer.logical_bytes, packer.stored_bytes, packer.body_bytes)
    return made.unwrap(), figures, packer.ended


def taken_alike(sent: Sent) -> object:
    async def read() -> object:
        body = sent.body()
        return came_of(await outcome.acapture(made_of, body), body)

    try:
        body = sent.body()
    except TooLarge:  # what is announced to be: neither way is gone
        return None
    found = came_of(outcome.capture(body.take_whole, sent.data), body)
    assert found == trio.run(read)
    return found


@given(bodies())
@example(Sent(b"", is_gzip=True))
@example(Sent(b"", is_gzip=False))
def test_it_is_as_if_it_were_read(sent: Sent) -> None:
    if len(sent.data) <= INLINE_GZIP:
        taken_alike(sent)


DATA = b"some content " * 20
REFUSED = {
    "grows": Sent(packed(bytes(8000)), is_gzip=True),
    "the content has more than": Sent(packed(bytes(9001)), is_gzip=True),
    "the body has more than": Sent(bytes(8001), is_gzip=False, is_announced=False),
    "times its content": Sent(packed(b"x") + bytes(500), is_gzip=True),
    "ends too early": Sent(packed(DATA)[:-1], is_gzip=True),
    "is not gzip": Sent(DATA, is_gzip=True),
    "SHA-256 is another": Sent(DATA, False, Expected("0" * 64, len(DATA))),
    "announced were": Sent(DATA, False, Expected("", len(DATA) + 1)),
    "more than the announced": Sent(packed(DATA), True, Expected("", len(DATA) - 1)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_wrong_with_it_is_said(reason: str) -> None:
    found = taken_alike(REFUSED[reason])
    assert isinstance(found, Sequence)
    assert reason in found[1]


@pytest.mark.parametrize("is_gzip", [True, False])
def test_what_is_right_is_what_is_to_be_stored(is_gzip: bool) -> None:
    sent = Sent(packed(DATA) if is_gzip else DATA, is_gzip, hint(DATA))
    body = sent.body()
    made = body.take_whole(sent.data)
    assert made is not None
    assert gzip.decompress(made) == DATA
    assert (made == sent.data) is is_gzip
    assert body.packer.ended
    assert body.packer.digest == digest_of(DATA)


@pytest.mark.parametrize(("is_gzip", "most"), [(True, INLINE_GZIP), (False, INLINE)])
async def test_more_than_a_moments_work_is_left_as_it_was(is_gzip: bool, most: int) -> None:
    """It can still be read, or taken by somebody else."""
    data = packed(DATA).ljust(most, b"\0") if is_gzip else bytes(most)
    assert Sent(data, is_gzip, bounds=Bounds()).body().take_whole(data) is not None
    body = Sent(data + b"\0", is_gzip, bounds=Bounds()).body()
    assert body.take_whole(data + b"\0") is None
    assert (body.packer.ended, body.packer.body_bytes) == (False, 0)
    await made_of(body)
    assert body.packer.body_bytes == most + 1


# -- room and turns -------------------------------------------------------------------------------


async def test_what_is_held_elsewhere_is_of_the_same_memory() -> None:
    spools = Spools(SpoolLimits(memory_bytes=100, memory_budget_bytes=100))
    assert spools.hold(60)
    assert not spools.hold(41)
    assert spools.memory_used_bytes == 60, "who has no room holds nothing"
    assert spools.hold(40)
    assert spools.hold(0)
    spool = spools.spool()
    await spool.write(b"x")
    assert not spool.is_in_memory
    await spool.aclose()
    spools.let_go(60)
    spool = spools.spool()
    await spool.write(bytes(60))
    assert spool.is_in_memory
    assert not spools.hold(1)
    await spool.aclose()
    assert spools.hold(60)
    spools.let_go(60)
    spools.let_go(40)
    assert (spools.memory_used_bytes, spools.disk_used_bytes) == (0, 0)


async def test_a_turn_is_taken_at_once_or_not_at_all() -> None:
    writers = Writers(max_waiting=1)
    assert writers.acquire_nowait("a")
    assert not writers.acquire_nowait("a")
    assert writers.acquire_nowait("b")
    assert (len(writers), writers.waiting, writers.refused) == (2, 0, 0)
    writers.release("b")
    writers.release("a")
    assert writers.acquire_nowait("a")
    writers.release("a")
    assert len(writers) == 0


async def test_nobody_overtakes_who_waits_for_a_turn() -> None:
    writers = Writers(max_waiting=1)
    had: list[bool] = []

    async def wait() -> None:
        async with writers.writing("a"):
            had.append(writers.acquire_nowait("a"))

    assert writers.acquire_nowait("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert writers.waiting == 1
        writers.release("a")
        assert not writers.acquire_nowait("a"), "it is the other's, which has not run yet"
    assert had == [False]
    assert (len(writers), writers.waiting) == (0, 0)
