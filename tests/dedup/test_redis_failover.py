"""A replica takes over that has not got the last changes: what is lost, and what is not."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parparchik.dedup import redis_server
from parparchik.dedup.keys import Keys
from parparchik.dedup.verify import Verifier
from parparchik.errors import ClaimLost, MetadataUnavailable
from tests.dedup.bed import DAY_S, GRACE_S, Bed, digest_of, laid
from tests.dedup.metadata_scene import blob_at, claim, listed
from tests.dedup.redis_process import RedisProcess
from tests.dedup.redis_scene import UNCLOSED, Started, opened, until
from tests.fakes_bytes import FakeBytes

pytestmark = UNCLOSED


@asynccontextmanager
async def pair(started: Started) -> AsyncIterator[tuple[RedisProcess, RedisProcess]]:
    primary, replica = started(), started()
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    await until(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
    yield primary, replica


async def caught_up(primary: RedisProcess) -> None:
    await until(lambda: _offsets(primary) == 1)


def _offsets(primary: RedisProcess) -> int:
    state = dict(
        line.split(":", 1)
        for line in primary.ask("INFO", "replication").splitlines()
        if ":" in line
    )
    return len(
        {state["master_repl_offset"], state["slave0"].rpartition("offset=")[2].split(",")[0]}
    )


async def all_readable(bed: Bed) -> list[str]:
    """The files, every one of which has all its bytes at S3."""
    paths = await listed(bed.metadata)
    for path in paths:
        assert await bed.get(path) is not None
    return paths


async def test_a_failover_loses_changes_and_breaks_no_file(started: Started) -> None:
    bucket = FakeBytes()
    async with pair(started) as (primary, replica):
        async with opened(primary, Keys()) as metadata, laid(metadata, bucket) as bed:
            for name in ("kept", "overwritten", "deleted"):
                await bed.put(name, name.encode())
            await caught_up(primary)
            # From here on the replica gets nothing: it is promoted behind the primary's back.
            replica.ask("REPLICAOF", "NO", "ONE")
            await bed.put("new", b"new")
            await bed.put("overwritten", b"again", 2)
            await bed.store.delete("deleted", 9)
            held = await claim(metadata, "claimed", bed.now())
            assert await all_readable(bed) == ["kept", "new", "overwritten"]
            primary.kill()
        async with opened(replica, Keys()) as metadata, laid(metadata, bucket) as bed:
            assert await all_readable(bed) == ["deleted", "kept", "overwritten"]
            assert await bed.get("overwritten") == b"overwritten"
            with pytest.raises(ClaimLost):
                await metadata.put("c", 1, blob_at(held, "claimed"), held, now_s=bed.now())
            # What it does not know is collected after the grace, and the same can be stored anew.
            bed.late_s = GRACE_S + DAY_S
            report = await bed.cleaner().clean()
            assert (report.unknown, report.missing) == (2, 0)
            assert len(bucket.objects) == 3
            await bed.put("new", b"new")
            assert await all_readable(bed) == ["deleted", "kept", "new", "overwritten"]
            assert await bed.get("new") == b"new"


async def test_nothing_is_deleted_at_s3_before_the_replicas_know(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "REPLICAS_S", 0.2)
    bucket = FakeBytes()
    async with pair(started) as (primary, replica):
        async with opened(primary, Keys()) as metadata, laid(metadata, bucket) as bed:
            await bed.put("a", b"a")
            await bed.store.delete("a", 9)
            await caught_up(primary)
            assert replica.process is not None
            replica.process.send_signal(signal.SIGSTOP)
            bed.late_s = GRACE_S + DAY_S
            with pytest.raises(MetadataUnavailable, match="replicas that are behind"):
                await bed.cleaner().clean()
            assert len(bucket.objects) == 1
            replica.process.send_signal(signal.SIGCONT)
            await caught_up(primary)
            assert (await bed.cleaner().clean()).deleted == 1
            primary.kill()
        # Promoted, it does not offer what is gone.
        replica.ask("REPLICAOF", "NO", "ONE")
        async with opened(replica, Keys()) as metadata, laid(metadata, bucket) as bed:
            await bed.put("a", b"a")
            assert await all_readable(bed) == ["a"]


async def test_a_replica_that_was_cut_off_for_long_brings_back_what_is_reported_missing(
    started: Started,
) -> None:
    bucket = FakeBytes()
    async with pair(started) as (primary, replica):
        async with opened(primary, Keys()) as metadata, laid(metadata, bucket) as bed:
            await bed.put("a", b"a")
            await bed.put("b", b"b")
            await caught_up(primary)
            replica.ask("REPLICAOF", "NO", "ONE")
            await until(lambda: "connected_slaves:0" in primary.ask("INFO", "replication"))
            await bed.store.delete("a", 9)
            bed.late_s = GRACE_S + DAY_S
            assert (await bed.cleaner().clean()).deleted == 1
            primary.kill()
        async with opened(replica, Keys()) as metadata, laid(metadata, bucket) as bed:
            assert await listed(metadata) == ["a", "b"]
            verified = await Verifier(metadata, bucket).verify()
            assert (verified.checked, verified.missing) == (2, 1)
            assert (await bed.cleaner().clean()).missing == 1
            # Both say so, and neither takes the file away: its bytes may be had elsewhere.
            assert await listed(metadata) == ["a", "b"]


async def test_what_was_seen_before_a_failover_is_referred_to_after_it(started: Started) -> None:
    bucket = FakeBytes()
    async with pair(started) as (primary, replica):
        async with opened(primary, Keys()) as metadata, laid(metadata, bucket) as bed:
            await bed.put("kept", b"kept")
            await caught_up(primary)
            replica.ask("REPLICAOF", "NO", "ONE")
            await bed.put("new", b"new")
            seen = await metadata.look("other", digest_of(b"new"), now_s=bed.now())
            assert seen.blob is not None
            primary.kill()
        async with opened(replica, Keys()) as metadata, laid(metadata, bucket) as bed:
            again = await metadata.look("other", digest_of(b"new"), now_s=bed.now())
            assert again == (None, None, seen.key)  # it is not known here
            assert (await metadata.put("other", 1, seen.blob, None, now_s=bed.now())).done
            assert await bed.get("other") == b"new"
            bed.late_s = GRACE_S + DAY_S
            report = await bed.cleaner().clean()
            assert (report.unknown, report.deleted, report.missing) == (0, 0, 0)
            assert await all_readable(bed) == ["kept", "other"]
            assert await metadata.integrity() == []


async def test_what_was_deleted_before_a_failover_is_not_referred_to_after_it(
    started: Started,
) -> None:
    """That it is garbage the replica knows, though not that it was deleted."""
    bucket = FakeBytes()
    async with pair(started) as (primary, replica):
        async with opened(primary, Keys()) as metadata, laid(metadata, bucket) as bed:
            await bed.put("a", b"a")
            await bed.store.delete("a", 9)
            seen = await metadata.look("b", digest_of(b"a"), now_s=bed.now())
            assert seen.blob is not None
            late_s = bed.now() + 1
            assert await metadata.discard_orphans(older_than_s=late_s, now_s=late_s, limit=9) == 1
            keys = await metadata.garbage(limit=9)
            replica.ask("REPLICAOF", "NO", "ONE")
            assert not await bucket.delete_many(keys)
            await metadata.collected(keys, now_s=late_s)
            primary.kill()
        async with opened(replica, Keys()) as metadata, laid(metadata, bucket) as bed:
            with pytest.raises(ClaimLost):
                await metadata.put("b", 1, seen.blob, None, now_s=late_s)
            await bed.put("b", b"a")
            assert await all_readable(bed) == ["b"]
            assert list(bucket.objects) != [seen.key]
            assert (await bed.cleaner().clean()).missing == 0
            assert await all_readable(bed) == ["b"]
