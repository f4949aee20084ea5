"""What Redis keeps twice is made again from the files, blobs and claims."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parparchik.dedup.faults import CLAIMS, COUNTERS, INDEX, Fault
from parparchik.dedup.types import Metadata
from tests.dedup.metadata_scene import (
    DAY,
    KEYS,
    LIFE,
    NOW,
    blob_at,
    claim,
    digest,
    discard,
    listed,
    put,
)
from tests.dedup.metadata_stores import opened_redis
from tests.dedup.redis_process import shared_redis
from tests.dedup.spoiled import RedisHands, fill


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[Metadata]:
    async with opened_redis(tmp_path, KEYS) as store:
        yield store


@pytest.fixture
def redis(metadata: Metadata) -> RedisHands:
    return RedisHands(shared_redis())


async def test_every_index_is_made_again(metadata: Metadata, redis: RedisHands) -> None:
    await fill(metadata)
    held = await claim(metadata, "comes")
    before = await metadata.totals()
    for name in ("paths", "refs", "digests", "used", "holds"):
        redis.do("DEL", name)
    (fault,) = [each for each in await metadata.integrity() if each.what == INDEX]
    # 4 paths and references; 4 digests and keys of blobs; 2 holds.
    assert fault == Fault(INDEX, 18, mendable=True)
    await metadata.mend(now_s=NOW)
    assert await metadata.integrity() == []
    assert await listed(metadata) == ["a", "b/c", "b/d", "e"]
    assert await metadata.has_below("b")
    assert await metadata.totals() == before
    assert await discard(metadata, NOW + DAY, NOW) == 1
    assert held.key not in await metadata.garbage(limit=9)
    await metadata.put("g", 1, blob_at(held, "comes"), held, now_s=NOW)


async def test_entries_of_nothing_go(metadata: Metadata, redis: RedisHands) -> None:
    await fill(metadata)
    nobody = digest("nobody")
    redis.do("ZADD", "paths", "0", "ghost")
    redis.do("ZADD", "refs", "0", f"{digest('z')} ghost")
    redis.do("ZADD", "refs", "0", f"{digest('y')} a")
    for name in ("digests", "orphans", "lost"):
        redis.do("ZADD", name, "0", nobody)
    key = f"store/ab/cd/{nobody}"
    redis.do("SADD", "used", key)
    redis.do("SADD", "used", f"store/ab/cd/{digest('x')}-01234567")
    kinds = {fault.what: fault.count for fault in await metadata.integrity()}
    assert kinds[INDEX] == 8
    await metadata.mend(now_s=NOW)
    assert await metadata.integrity() == []
    assert await metadata.unknown([key]) == [key]
    assert await discard(metadata, NOW + DAY, NOW) == 1  # `z`, which had seemed to have a file


async def test_claims_end(metadata: Metadata, redis: RedisHands) -> None:
    held = await claim(metadata, "comes")
    redis.do("DEL", "ends")
    redis.do("ZADD", "ends", f"{NOW}", "nobody's")
    redis.do("ZADD", "holds", "0", "dnothing")
    assert await metadata.integrity() == [Fault(CLAIMS, 3, mendable=True)]
    assert await metadata.mend(now_s=NOW) == 3
    assert await metadata.integrity() == []
    assert not await metadata.renew(held, now_s=NOW, life_s=LIFE)
    await discard(metadata, NOW, NOW)
    assert await metadata.garbage(limit=9) == [held.key]


async def test_counters_are_counted_anew(metadata: Metadata, redis: RedisHands) -> None:
    await fill(metadata)
    before = await metadata.totals()
    redis.do("HSET", "sums", "logical_bytes", "1", "stored_bytes", "-7")
    assert await metadata.integrity() == [Fault(COUNTERS, 2, mendable=True)]
    assert await metadata.mend(now_s=NOW) == 2
    assert await metadata.totals() == before


async def test_many_pages(metadata: Metadata, redis: RedisHands) -> None:
    for number in range(1200):
        await put(metadata, f"{number}", 1, f"{number}")
    before = await metadata.totals()
    assert await metadata.integrity() == []
    for name in ("paths", "refs", "digests", "used"):
        redis.do("DEL", name)
    redis.do("HSET", "sums", "logical_bytes", "0")
    await metadata.mend(now_s=NOW)
    assert await metadata.integrity() == []
    assert await metadata.totals() == before
    assert len(await listed(metadata)) == 1200
