"""Redis servers as they are set up: by URL, full, with a password, a replica, a cluster."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from parparchik.dedup import redis_cleaning as cleaning
from parparchik.dedup.keys import Keys
from parparchik.dedup.opening import OpenedMetadata
from parparchik.dedup.redis import RedisMetadata
from parparchik.errors import ClaimLost, ConfigError, MetadataUnavailable, PathConflict
from tests.dedup.metadata_scene import (
    ALL,
    DAY,
    KEYS,
    NOW,
    blob_at,
    blob_of,
    claim,
    delete,
    digest,
    discard,
    listed,
    look,
    put,
    put_small,
    refer,
    stored_at,
)
from tests.dedup.redis_process import free_port
from tests.dedup.redis_scene import UNCLOSED, Started, opened, until

pytestmark = UNCLOSED

# -- opening --------------------------------------------------------------------------------------


async def test_the_settings_url_opens_it(started: Started) -> None:
    server = started()
    metadata = OpenedMetadata(server.url, KEYS)
    async with trio.open_nursery() as nursery:
        await nursery.start(metadata.run)
        assert (await put(metadata, "a", 1, "x")).done
        assert await listed(metadata) == ["a"]
        nursery.cancel_scope.cancel()


def test_without_coredis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coredis", None)
    with pytest.raises(ConfigError, match=r"install parparchik\[redis\]"):
        OpenedMetadata("redis://host/0", KEYS)


async def test_a_replica_is_read_and_not_written(started: Started) -> None:
    primary, replica = started(), started()
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    await until(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
    async with opened(primary) as metadata, opened(replica) as copy:
        await put(metadata, "a", 1, "x")
        with pytest.raises(MetadataUnavailable, match="name the primary"):
            await delete(copy, "a", 1)
        with pytest.raises(MetadataUnavailable, match="name the primary"):
            await copy.check()
        assert await listed(metadata) == ["a"]


async def test_a_key_that_is_in_use_does_not_rest_for_whose_clock_is_behind(
    started: Started,
) -> None:
    server = started()
    async with opened(server) as metadata:
        await metadata.collected([KEYS.plain(digest("x"))], now_s=NOW)
        blob = await put_small(metadata, "a", now=NOW + DAY)
        assert blob.key == KEYS.plain(digest("x"))
        assert await put_small(metadata, "b", now=NOW + DAY - 3600) == blob
        # Not where nobody uses it.
        await metadata.collected([KEYS.plain(digest("y"))], now_s=NOW)
        stored = stored_at(await look(metadata, "c", "y", NOW + DAY), "y")
        assert stored.key == KEYS.plain(digest("y"))
        with pytest.raises(ClaimLost):
            await refer(metadata, "c", 1, stored, now=NOW + DAY - 3600)


async def test_a_full_server_changes_nothing(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        await put(metadata, "b", 1, "orphan")
        await delete(metadata, "b", 1)
        released = await claim(metadata, "z")
        await metadata.release(released)
        new, known, free = [await claim(metadata, content) for content in ("y", "orphan", "w")]
        sight = await look(metadata, "a", "small")
        blob = await blob_of(metadata, "a")
        before = await seen(metadata)
        changes: list[Callable[[], Awaitable[object]]] = [
            partial(metadata.put, "a", 2, blob_at(new, "y"), new, now_s=NOW),
            partial(metadata.put, "a", 2, blob_at(known, "orphan"), known, now_s=NOW),
            partial(metadata.put, "a", 0, blob_at(new, "y"), new, now_s=NOW),
            partial(refer, metadata, "a", 2, stored_at(sight, "small")),
            partial(refer, metadata, "a", 0, stored_at(sight, "small")),
            partial(refer, metadata, "b", 2, blob),
            partial(metadata.restate, blob, blob.stored_bytes - 1),
            partial(metadata.delete, "a", 2, tombstone=True, now_s=NOW),
            partial(metadata.delete, "a", 2, tombstone=False, now_s=NOW),
            partial(metadata.release, free),
            partial(discard, metadata, NOW + 99, NOW + 99),
            partial(metadata.collected, [released.key], now_s=NOW),
            partial(metadata.unknown, ["strange"]),
            partial(claim, metadata, "new"),
            partial(metadata.lead, "me", now_s=NOW, life_s=9.0),
            metadata.check,
        ]
        server.ask("CONFIG", "SET", "maxmemory", "1")
        for change in changes:
            with pytest.raises(MetadataUnavailable, match="OOM"):
                await change()
            assert await seen(metadata) == before
        assert await look(metadata, "a", "small") == sight
        server.ask("CONFIG", "SET", "maxmemory", "0")
        assert (await metadata.put("a", 2, blob_at(new, "y"), new, now_s=NOW)).done
        assert (await metadata.put("c", 2, blob_at(known, "orphan"), known, now_s=NOW)).done
        assert await metadata.renew(free, now_s=NOW, life_s=9.0)
        assert (await refer(metadata, "d", 2, stored_at(sight, "small"))).done


async def seen(metadata: RedisMetadata) -> object:
    return (
        [file async for page in metadata.list("", until_s=ALL) for file in page],
        [blob async for page in metadata.blobs() for blob in page],
        await metadata._server.read(cleaning.GARBAGE, "9"),
        await metadata.tombstone("a"),
        await metadata.totals(),
    )


async def test_a_password_that_is_wrong(started: Started) -> None:
    server = started("--requirepass", "right@1")
    url = server.url.replace("//", "//:right%401@")
    async with RedisMetadata.open(url, "the place", KEYS) as metadata:
        await metadata.check()
    for wrong in (server.url, server.url.replace("//", "//:wrong@")):
        async with RedisMetadata.open(wrong, "the place", KEYS) as metadata:
            with pytest.raises(MetadataUnavailable, match="the place does not let us in") as error:
                await metadata.check()
            assert "wrong@" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "advised"),
    [
        (("--appendfsync", "always"), []),
        (("--appendfsync", "everysec"), []),
        (("--appendfsync", "no"), ["appendfsync"]),
        (("--appendonly", "no"), ["appendonly"]),
        (("--maxmemory-policy", "allkeys-lru"), ["maxmemory-policy"]),
    ],
)
async def test_settings_that_lose_changes_are_told(
    started: Started, options: tuple[str, ...], advised: list[str]
) -> None:
    server = started(*options)
    async with opened(server) as metadata:
        with capture_logs() as logs:
            await metadata._server.advise()
    # Once more than it does by itself, perhaps at the same time.
    assert {log["setting"] for log in logs} == set(advised)
    assert all(log["log_level"] == "warning" for log in logs)


@pytest.mark.parametrize("second", [Keys("b/", bucket="files"), Keys("a/", bucket="more")])
async def test_stores_of_different_places_share_a_server(started: Started, second: Keys) -> None:
    server = started()
    first = Keys("a/", bucket="files")
    async with opened(server, first) as one, opened(server, second) as other:
        await put(one, "a", 1, "x")
        assert await listed(other) == []
        await put(other, "a/b", 1, "x")
        with pytest.raises(PathConflict):
            await put(one, "a/b", 1, "x")


async def test_all_keys_are_in_one_slot_and_none_expires(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        for number in range(5):
            await put(metadata, f"{number}", 1, f"{number % 3}")
            await delete(metadata, f"{number // 2}", 1, tombstone=True)
            await metadata.release(await claim(metadata, "z"))
            await claim(metadata, "w")
        await metadata.collected(await metadata.garbage(limit=1), now_s=NOW)
        await metadata.lead("me", now_s=NOW, life_s=1.0)
        lost = (await claim(metadata, "1")).blob or pytest.fail("gone")
        assert await metadata.mark_lost(lost, now_s=NOW)
        known = set(metadata._server._keys)
        assert all(key.startswith("{parparchik:/store/}:") for key in known)
        assert server.ask("DBSIZE") == f":{len(known)}"
        for key in known:
            assert server.ask("TTL", key) == ":-1", key


async def test_a_cluster_of_one(started: Started) -> None:
    """It refuses keys of different slots in a script."""
    server = started("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    async with opened(server) as metadata:
        with pytest.raises(MetadataUnavailable, match="Hash slot not served"):
            await metadata.get("a")
        assert server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == "+OK"
        await until(lambda: "cluster_state:ok" in server.ask("CLUSTER", "INFO"))
        await put(metadata, "a/b", 1, "x")
        assert await delete(metadata, "a/b", 1, tombstone=True)
        assert await discard(metadata, NOW + 99, NOW + 99) == 1
        assert len(await metadata.garbage(limit=9)) == 1
