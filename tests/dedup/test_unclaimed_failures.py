"""PUT of what is in memory, where S3 or the metadata fail, or the client leaves: nothing is listed
that is not there, and what S3 has for nothing is collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from parparchik.errors import MetadataUnavailable, Unavailable, UpstreamError, UpstreamTimeout
from tests.dedup.bed import laid, packed
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.test_unclaimed import NEW, OLD, collected, state
from tests.fakes_bytes import BytesAsked

pytestmark = pytest.mark.usefixtures("each_way")

ERRORS = [
    lambda: Unavailable("500"),
    lambda: UpstreamTimeout("late"),
    lambda: UpstreamError("nonsense"),
]


@pytest.mark.parametrize("point", ["arriving", "answering"])
@pytest.mark.parametrize("fail", ERRORS)
async def test_what_s3_does_not_say_it_stored_is_discarded(
    point: str, fail: Callable[[], UpstreamError]
) -> None:
    async with laid() as bed:
        await bed.put("kept", OLD)

        async def at(now: str, asked: BytesAsked) -> None:
            if (now, asked.operation) == (point, "store"):
                raise fail()

        bed.bucket.at = at
        with pytest.raises(UpstreamError) as raised:
            await bed.put("a", NEW)
        assert raised.value.status >= 500
        assert await bed.store.stat("a") is None
        assert state(bed).waste == {bed.key(NEW)}, "what comes late is deleted, too"
        bed.bucket.at = None
        assert (await bed.put("a", NEW)).done
        bed.bucket.put(bed.key(NEW), packed(NEW))  # late
        await collected(bed, sweep=False)
        assert await bed.get("a") == NEW


@pytest.mark.parametrize("away", ["look", "put", "unknown"])
@pytest.mark.parametrize("after", [True, False], ids=["in effect", "without effect"])
async def test_metadata_that_is_away(away: str, after: bool) -> None:
    """Whatever S3 has is found by a sweep, at the latest."""

    class Away(FakeMetadata):
        is_away = True

        def __getattribute__(self, name: str) -> Any:
            asked = super().__getattribute__(name)
            if name != away or not super().__getattribute__("is_away"):
                return asked

            async def ask(*args: Any, **named: Any) -> None:
                if after:
                    await asked(*args, **named)
                raise MetadataUnavailable("away")

            return ask

    metadata = Away()
    metadata.is_away = False
    async with laid(metadata) as bed:
        await bed.put("kept", OLD)
        metadata.is_away = True
        if away == "unknown":
            bed.bucket.failing["store"] = lambda: Unavailable("500")
        with pytest.raises(UpstreamError) as raised:
            await bed.put("a", NEW)
        assert raised.value.status == 503
        metadata.is_away = False
        bed.bucket.failing.clear()
        assert (await bed.get("a") is not None) == (away == "put" and after)
        await collected(bed, sweep=True)
        assert (await bed.put("a", NEW)).done
        assert await bed.get("a") == NEW


# Where there is no task, nothing is cancelled.
@pytest.mark.parametrize("each_way", ["in a task"], indirect=True)
@pytest.mark.parametrize("point", ["arriving", "answering"])
async def test_a_client_that_leaves_while_it_is_stored(point: str, autojump_clock: object) -> None:
    async with laid() as bed:
        await bed.put("kept", OLD)

        async def hang(now: str, asked: BytesAsked) -> None:
            if now == point:
                await trio.sleep_forever()

        bed.bucket.at = hang
        with trio.move_on_after(5) as scope:
            await bed.put("a", NEW)
        assert scope.cancelled_caught
        assert await bed.store.stat("a") is None
        assert state(bed).waste == {bed.key(NEW)}
        bed.bucket.at = None
        assert (await bed.put("a", NEW)).done
        await collected(bed, sweep=False)
        assert await bed.get("a") == NEW
