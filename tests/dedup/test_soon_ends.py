"""A PUT that cannot be done without a task: what remains to be done, done, cancelled or never done.

However it ends, it is told once, holds nothing, and whatever S3 has for nothing is collected.
"""

from __future__ import annotations

import pytest
import structlog.testing
import trio

from parparchik.dedup.types import Written
from parparchik.errors import ClaimLost, MetadataUnavailable, ParparchikError, Unavailable
from parparchik.model import Unfinished
from tests.dedup.soon_scene import Scene, Told, by_hand
from tests.dedup.soon_ways import (
    CASES,
    DONE,
    NEW,
    PATH,
    Case,
    it_is_garbage_when_it_is_stored,
)
from tests.dedup.test_unclaimed import collected
from tests.fakes_bytes import BytesAsked

KEPT = b"what stays " * 30

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.way.__name__)


async def unfinished(scene: Scene, case: Case) -> Told:
    """It has come to where a task has to go on, and holds nothing until that does."""
    await scene.put("kept", KEPT)  # a store that knows nothing takes nothing for garbage
    with structlog.testing.capture_logs() as logged:
        told = await case.way(scene)
    errors = [entry for entry in logged if entry["log_level"] == "error"]
    assert len(errors) == case.is_logged
    assert isinstance(told.only, Unfinished)
    assert scene.is_at_rest()
    scene.steps.refused = set()
    assert (await scene.metadata.get(PATH) is not None) is case.is_there
    return told


async def nothing_is_left(scene: Scene, told: Told, *, sweep: bool = False) -> None:
    """Nor told once more; and the next one is served, of the same path and the same content. What
    is for nothing was given up, or, where nobody could, is found by a `sweep`."""
    assert len(told.came) == 1
    assert scene.is_at_rest()
    await collected(scene.bed, sweep=sweep)
    if "a" in scene.metadata.files:
        await scene.bed.store.delete("a", 99)
    assert await scene.put(PATH, NEW, 6) == Written(6, done=True)
    assert await scene.bed.get(PATH) == NEW
    assert await scene.put("other", NEW) == DONE
    await collected(scene.bed, sweep=True)


async def finished(told: Told) -> object:
    """What the client is told, or the kind of error."""
    try:
        return await told.finish()
    except ParparchikError as error:
        return type(error)


@every_case
async def test_it_is_finished(case: Case) -> None:
    async with by_hand() as scene:
        told = await unfinished(scene, case)
        puts_before = scene.bed.store.statistics().counters.puts
        assert await finished(told) == case.comes_to
        is_done = case.comes_to == DONE
        assert (await scene.bed.get(PATH) == NEW) is (is_done or case.is_there)
        counters = scene.bed.store.statistics().counters
        assert counters.puts - puts_before == is_done
        assert (counters.uploads - 1, counters.claims_lost) == (case.uploads, case.lost)
        await nothing_is_left(scene, told)


@every_case
async def test_it_is_never_finished(case: Case) -> None:
    """The client has gone, or so has whoever would have."""
    async with by_hand() as scene:
        told = await unfinished(scene, case)
        await nothing_is_left(scene, told, sweep=True)


@every_case
async def test_it_is_cancelled_before_it_is_finished(case: Case) -> None:
    async with by_hand() as scene:
        told = await unfinished(scene, case)
        came: object = None
        with trio.CancelScope() as scope:
            scope.cancel()
            came = await finished(told)
        assert scope.cancelled_caught or came == case.comes_to
        await nothing_is_left(scene, told)


@every_case
@pytest.mark.parametrize("point", ["arriving", "answering"])
async def test_it_is_cancelled_while_s3_stores(
    case: Case, point: str, autojump_clock: object
) -> None:
    async with by_hand() as scene:

        async def hang(now: str, asked: BytesAsked) -> None:
            if (now, asked.operation) == (point, "store"):
                await trio.sleep_forever()

        told = await unfinished(scene, case)
        scene.bucket.at = hang
        came: object = None
        with trio.move_on_after(5) as scope:
            came = await finished(told)
        assert scope.cancelled_caught or came == case.comes_to
        scene.bucket.at = None
        await nothing_is_left(scene, told)


@every_case
async def test_s3_fails_while_it_is_finished(case: Case) -> None:
    async with by_hand() as scene:
        told = await unfinished(scene, case)
        scene.bucket.failing["store"] = lambda: Unavailable("500")
        came = await finished(told)
        assert came in (case.comes_to, Unavailable)
        assert (await scene.metadata.get(PATH) is not None) is (came == DONE or case.is_there)
        scene.bucket.failing.clear()
        await nothing_is_left(scene, told)


@every_case
async def test_metadata_is_away_while_it_is_finished(case: Case) -> None:
    """Also when what was stored is to be discarded: then a sweep finds it."""
    async with by_hand() as scene:
        told = await unfinished(scene, case)
        scene.metadata.broken = True
        came = await finished(told)
        assert came in (MetadataUnavailable, Unavailable) or came == case.comes_to != DONE
        scene.metadata.broken = False
        await nothing_is_left(scene, told, sweep=True)


@every_case
async def test_another_comes_before_it_is_finished(case: Case) -> None:
    """Of the same content, to the same path: the newer one stays."""
    async with by_hand() as scene:
        told = await unfinished(scene, case)
        if "a" not in scene.metadata.files:
            assert await scene.put(PATH, NEW, 7) == Written(7, done=True)
        came = await finished(told)
        assert came != DONE
        assert came in (case.comes_to, Written(7, done=False))
        assert (len(told.came), scene.is_at_rest()) == (1, True)
        await collected(scene.bed, sweep=False)
        assert await scene.bed.get(PATH) == (None if "a" in scene.metadata.files else NEW)


# -- who is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_finished", [True, False])
async def test_one_who_fails_when_told_is_not_told_again(is_finished: bool) -> None:
    async with by_hand() as scene:
        told: list[object] = []

        def then(came: object) -> None:
            told.append(came)
            raise ZeroDivisionError

        assert scene.bed.store.put_soon(scene.put_of(PATH, NEW), NEW, then)
        with structlog.testing.capture_logs() as logged:
            await scene.steps.next("look").done()
            if is_finished:
                await scene.steps.next("store").done()
                await scene.steps.next("put").done()
            else:
                scene.steps.next("store").fails(Unavailable("500"))
        assert len(told) == 1
        assert [entry["log_level"] for entry in logged] == ["error"]
        assert scene.is_at_rest()
        assert await scene.put(PATH, NEW) == DONE


async def test_a_claim_that_is_lost_for_ever_is_told() -> None:
    async with by_hand() as scene:
        await scene.put("kept", KEPT)
        told = await it_is_garbage_when_it_is_stored(scene)

        async def lose(*_: object, **__: object) -> Written:
            raise ClaimLost("again")

        scene.metadata.put = lose  # type: ignore[method-assign]
        with pytest.raises(ClaimLost):
            await told.finish()
        del scene.metadata.put
        await nothing_is_left(scene, told)
