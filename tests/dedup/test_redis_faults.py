"""What can go wrong with a Redis server: it ends, hangs, fills up, forgets, and is replaced by a
replica that has not got the last changes."""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from parparchik.dedup import redis_cleaning as cleaning
from parparchik.dedup import redis_server
from parparchik.dedup.keys import Keys
from parparchik.dedup.redis import RedisMetadata
from parparchik.dedup.types import File
from parparchik.dedup.verify import Verifier
from parparchik.errors import ClaimLost, MetadataUnavailable, PathConflict
from tests.dedup.bed import DAY_S, GRACE_S, Bed, laid
from tests.dedup.metadata_scene import ALL, KEYS, NOW, blob_at, claim, delete, discard, listed, put
from tests.dedup.redis_process import PATIENCE_S, RedisProcess, free_port
from tests.fakes_bytes import FakeBytes

Started = Callable[..., RedisProcess]

# coredis forgets to close the buffers of a connection that came to nothing.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    servers: list[RedisProcess] = []

    def start(*options: str) -> RedisProcess:
        server = RedisProcess(tmp_path / f"redis{len(servers)}", *options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()
    gc.collect()  # here, where that is no error


@asynccontextmanager
async def opened(server: RedisProcess, keys: Keys = KEYS) -> AsyncIterator[RedisMetadata]:
    async with RedisMetadata.open(server.url, "the place", keys) as metadata:
        yield metadata


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - another process
            await trio.sleep(0.02)


# -- a server that ends -------------------------------------------------------------------------


async def test_what_was_acknowledged_is_kept_when_the_server_is_killed(started: Started) -> None:
    server = started("--appendfsync", "always")
    async with opened(server) as metadata:
        acknowledged: list[str] = []

        async def put_some(name: str) -> None:
            for number in range(100):
                path = f"{name}/{number}"
                try:
                    await put(metadata, path, 1, path)
                except (MetadataUnavailable, ClaimLost):
                    return
                acknowledged.append(path)
                if len(acknowledged) == 120:
                    server.kill()

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(put_some, name)
        server.start()
        kept = await listed(metadata)
        assert set(acknowledged) <= set(kept)
        assert len(kept) <= len(acknowledged) + 4  # those whose answer got lost
        totals = await metadata.totals()
        assert (totals.files, totals.blobs, totals.orphans) == (len(kept), len(kept), 0)
        assert totals.logical_bytes == sum(len(path) for path in kept)


async def test_a_server_that_is_away_and_comes_back(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        held = await claim(metadata, "y")
        server.kill()
        for _ in range(3):
            with pytest.raises(MetadataUnavailable, match="the place cannot be reached"):
                await metadata.get("a")
        with pytest.raises(MetadataUnavailable):
            await listed(metadata)
        with pytest.raises(MetadataUnavailable):
            await metadata.check()
        with pytest.raises(MetadataUnavailable):
            await metadata.put("b", 1, blob_at(held, "y"), held, now_s=NOW)
        server.start()
        assert await metadata.get("a") is not None
        assert (await metadata.put("b", 1, blob_at(held, "y"), held, now_s=NOW)).done
        assert await listed(metadata) == ["a", "b"]


async def test_a_restart_between_two_reads_is_not_noticed(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        for _ in range(5):
            server.kill()
            server.start()
            assert await listed(metadata) == ["a"]


async def test_a_server_that_comes_after_us(started: Started) -> None:
    server = started()
    server.kill()
    async with opened(server) as metadata:
        with pytest.raises(MetadataUnavailable):
            await metadata.check()
        server.start()
        await metadata.check()


async def test_scripts_that_the_server_forgot(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        server.ask("SCRIPT", "FLUSH")
        assert await put(metadata, "a", 2, "y")
        assert await listed(metadata) == ["a"]


# -- one that does not answer, or not well --------------------------------------------------------


async def test_a_server_that_hangs(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "ANSWER_S", 0.3)
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(MetadataUnavailable, match="does not answer in time"):
            await metadata.get("a")
        with trio.move_on_after(0.05) as gone:  # who does not want to wait need not
            await metadata.get("a")
        assert gone.cancelled_caught
        server.process.send_signal(signal.SIGCONT)
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    assert await metadata.get("a") is not None
                except MetadataUnavailable:
                    continue
                break


async def test_many_who_give_up_while_it_connects_take_no_place_for_good(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        for _ in range(70):  # more than there are places in the pool
            with trio.move_on_after(0.005):
                await metadata.get("a")
        server.process.send_signal(signal.SIGCONT)
        with trio.fail_after(PATIENCE_S):
            assert await metadata.get("a") is not None


async def test_a_read_whose_connection_breaks_is_made_again(started: Started) -> None:
    server = started()
    found: list[File | None] = []
    async with opened(server) as metadata, trio.open_nursery() as nursery:
        await put(metadata, "a", 1, "x")

        async def get() -> None:
            found.append(await metadata.get("a"))

        server.ask("CLIENT", "PAUSE", "60000", "WRITE")  # and scripts, which may write
        nursery.start_soon(get)
        await until(lambda: "blocked_clients:1" in server.ask("INFO", "clients"))
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        server.ask("CLIENT", "UNPAUSE")
    assert [file.path for file in found if file] == ["a"]


class Relay:
    """Connections to a server, which go on and carry nothing once they are `deaf`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.deaf: set[trio.SocketStream] = set()
        self.carried: set[trio.SocketStream] = set()

    async def serve(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.carried.add(client)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self.carry, client, client, server)
            await self.carry(client, server, client)
            nursery.cancel_scope.cancel()

    async def carry(
        self, of: trio.SocketStream, source: trio.SocketStream, sink: trio.SocketStream
    ) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in source:
                if of not in self.deaf:
                    await sink.send_all(data)


async def test_a_connection_that_nothing_comes_through_is_given_up(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "ANSWER_S", 0.5)
    server = started()
    relay = Relay(server.port)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        async with RedisMetadata.open(f"redis://127.0.0.1:{port}", "the place", KEYS) as metadata:
            await put(metadata, "a", 1, "x")
            relay.deaf |= relay.carried
            with pytest.raises(MetadataUnavailable, match="does not answer in time"):
                await metadata.get("a")
            assert await metadata.get("a") is not None
        nursery.cancel_scope.cancel()


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


async def test_a_full_server_changes_nothing(started: Started) -> None:
    server = started()
    async with opened(server) as metadata:
        await put(metadata, "a", 1, "x")
        await put(metadata, "b", 1, "orphan")
        await delete(metadata, "b", 1)
        released = await claim(metadata, "z")
        await metadata.release(released)
        new, known, free = [await claim(metadata, content) for content in ("y", "orphan", "w")]
        before = await seen(metadata)
        changes: list[Callable[[], Awaitable[object]]] = [
            partial(metadata.put, "a", 2, blob_at(new, "y"), new, now_s=NOW),
            partial(metadata.put, "a", 2, blob_at(known, "orphan"), known, now_s=NOW),
            partial(metadata.put, "a", 0, blob_at(new, "y"), new, now_s=NOW),
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
        server.ask("CONFIG", "SET", "maxmemory", "0")
        assert (await metadata.put("a", 2, blob_at(new, "y"), new, now_s=NOW)).done
        assert (await metadata.put("c", 2, blob_at(known, "orphan"), known, now_s=NOW)).done
        assert await metadata.renew(free, now_s=NOW, life_s=9.0)


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


async def test_stores_of_different_prefixes_share_a_server(started: Started) -> None:
    server = started()
    async with opened(server, Keys("a/")) as one, opened(server, Keys("b/")) as other:
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
        known = set(metadata._server._keys)
        assert all(key.startswith("{parparchik:store/}:") for key in known)
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


# -- a failover -----------------------------------------------------------------------------------


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
