"""The dedup store with several workers: one store for all, figures that are nobody's twice, and
one cleaner, whichever worker dies."""

from __future__ import annotations

import gzip
import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dedup.redis_process import RedisProcess, need_redis
from tests.e2e.byte_groups import send, until
from tests.e2e.dedup_group import DedupGroup, Reply, dedup_group
from tests.e2e.dedup_s3 import DedupS3, dedup_s3

WORKERS = 2
NO_CLEANING = {"PARPARCHIK_DEDUP_CLEAN_EVERY": "0"}


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[DedupS3]:
    with dedup_s3(tmp_path / "s3") as s3:
        yield s3


@pytest.fixture(params=["sqlite", "redis"])
def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/files.db"
        return
    need_redis()
    server = RedisProcess(tmp_path / "redis")
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


class Asked:
    """What was asked of which worker."""

    def __init__(self, group: DedupGroup) -> None:
        self.group = group
        self.by: set[tuple[str, int]] = set()

    def note(self, kind: str, reply: Reply) -> Reply:
        self.by.add((kind, self.group.worker_of(reply.request_id)))
        return reply

    def everyone(self, kind: str) -> bool:
        return {worker for asked, worker in self.by if asked == kind} == {1, 2}


def test_all_workers_are_one_store(s3: DedupS3, metadata: str) -> None:
    with dedup_group(s3, metadata, WORKERS, more=NO_CLEANING) as group:
        asked = Asked(group)
        version_s = 1000
        while not all(map(asked.everyone, ("put", "get", "list", "delete"))):
            assert version_s < 1100, asked.by
            for number in range(6):
                version_s += 1
                # Half of them share one content.
                data = b"shared" if number % 2 else b"content %d" % version_s
                put = asked.note("put", group.change("PUT", f"d/{number}", version_s, data))
                assert put.status == 200
                got = asked.note("get", group.ask("GET", f"/ft/files/d/{number}"))
                assert (got.status, got.body) == (200, data)
            listed = asked.note("list", group.ask("GET", "/ft/list/d"))
            assert listed.body.split() == [b"%d" % number for number in range(6)]
            gone = asked.note("delete", group.change("DELETE", "d/5", version_s))
            assert gone.status == 200
            assert group.paths("d") == ["0", "1", "2", "3", "4"]
            assert group.content("d/5") is None
        health = [group.health() for _ in range(8)]
        assert {status for status, _ in health} == {200}, health


def test_figures_are_of_all_and_of_nobody_twice(s3: DedupS3, metadata: str) -> None:
    with dedup_group(s3, metadata, WORKERS, more=NO_CLEANING) as group:
        for number in range(10):
            group.change("PUT", f"{number}", 1000, b"x" * 1000 if number < 5 else b"%d" % number)
        for _ in range(10):
            assert group.content("3") == b"x" * 1000
        packed = gzip.compress(b"x" * 1000)
        digest = hashlib.sha256(b"x" * 1000).hexdigest()
        reply = group.ask(
            *("PUT", "/ft/files/hinted?last_modified=Thu,%2001%20Jan%202026%2000:00:00%20GMT"),
            packed,
            Content_Encoding="gzip",
            SHA256_Checksum=digest,
            Logical_Size="1000",
        )
        assert reply.status == 200, reply
    # Totals are counted when a process begins, and every minute.
    with dedup_group(s3, metadata, WORKERS, more=NO_CLEANING) as group:
        until(lambda: "files" in group.metrics())
        figures = group.metrics()
        assert (figures["files"], figures["blobs"]) == (11, 6)
        assert figures["logical_bytes"] == 6 * 1000 + 5
        stored = sum(one.size_bytes for one in s3.objects.values())
        assert (figures["stored_bytes"], len(s3.objects)) == (stored, 6)
        assert figures["ratio"] == pytest.approx(6005 / stored)
        for _ in range(20):
            assert group.content("3") is not None
        assert group.metrics()["hits_total"] == 20


def test_one_worker_cleans_and_another_takes_over(s3: DedupS3, metadata: str) -> None:
    """Each is killed once, the one that cleans among them, right after a pass: one that is killed
    within a pass keeps the lead for five minutes."""
    how = {"PARPARCHIK_DEDUP_CLEAN_EVERY": "1s", "PARPARCHIK_DEDUP_GRACE": "1ms"}
    with dedup_group(s3, metadata, WORKERS, more=how) as group:

        def passes() -> float:
            return group.metrics().get('clean_passes_total{outcome="done"}', 0.0)

        def is_collected(path: str) -> None:
            assert group.change("PUT", path, 1000, path.encode()).status == 200
            assert group.change("DELETE", path, 1000).status == 200
            until(lambda: not s3.objects, lambda: group.program.output)

        is_collected("first")
        for victim in sorted(group.pids()):
            before = passes()
            until(lambda: passes() > before)  # noqa: B023
            send(victim, signal.SIGKILL)
            until(lambda: victim not in group.pids())  # noqa: B023
            group.all_up()
            is_collected(f"{victim}")
        assert group.metrics()['clean_passes_total{outcome="failed"}'] == 0


def test_health_is_of_metadata_and_s3(s3: DedupS3, tmp_path: Path) -> None:
    need_redis()
    server = RedisProcess(tmp_path / "redis")
    server.start()
    try:
        with dedup_group(s3, server.url, WORKERS) as group:
            until(lambda: group.health()[0] == 200, lambda: f"{group.health()}")
            server.kill()
            until(lambda: [group.health()[0] for _ in range(6)] == [503] * 6)
            assert group.ask("GET", "/healthcheck").status == 200
            assert group.ask("GET", "/ft/files/a").status == 503
            server.started = False
            server.start()
            until(lambda: [group.health()[0] for _ in range(6)] == [200] * 6)
            s3.fault = lambda method, key: 0.0
            until(lambda: [group.health()[0] for _ in range(6)] == [503] * 6)
            assert group.ask("GET", "/healthcheck").status == 200
    finally:
        server.kill()
