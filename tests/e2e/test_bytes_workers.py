"""Objects served by several processes: what one has been told to change, none gives out as it was.

A client that was told that its write is done, and anybody who asks after that, never sees what was
there before: whichever worker answers, and whatever becomes of the workers meanwhile.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.byte_groups import Group, group, is_running, send, until
from tests.e2e.bytes_s3 import BUCKET, BytesS3, bytes_s3
from tests.plain_http import NO_TLS

ASKED = 30
RACE_S = 4.0


@pytest.fixture(scope="module")
def s3_of_all() -> Iterator[BytesS3]:
    with bytes_s3() as s3:
        yield s3


@pytest.fixture
def s3(s3_of_all: BytesS3) -> BytesS3:
    """As new."""
    s3_of_all.mend()
    s3_of_all.objects.clear()
    return s3_of_all


def two(s3: BytesS3, tier: str, directory: Path) -> AbstractContextManager[Group]:
    more = {"PARPARCHIK_CACHE_DIR": str(directory)} if tier == "disk" else {}
    return group(s3, 2, **more)


@pytest.fixture(scope="module", params=["memory", "disk"])
def servers_of_all(
    s3_of_all: BytesS3, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Group]:
    with two(s3_of_all, request.param, tmp_path_factory.mktemp("workers") / "cache") as running:
        yield running


@pytest.fixture
def servers(servers_of_all: Group, s3: BytesS3) -> Group:
    """For tests that leave the workers alive; nothing is in their caches."""
    assert servers_of_all.post("/cache/purge", {"all": True}).status_code == 200
    return servers_of_all


@pytest.fixture(params=["memory", "disk"])
def mortal(s3: BytesS3, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Group]:
    """For tests that kill some: the more have died of late, the longer the next one waits."""
    with two(s3, request.param, tmp_path / "cache") as running:
        yield running


def test_a_write_is_true_at_every_worker(servers: Group, s3: BytesS3) -> None:
    s3.put("page", b"old")
    servers.known_by_all("page")
    for n in range(10):
        text = b"version %d" % n
        assert servers.put("page", text).status_code == 200
        seen = {servers.get("page").content for _ in range(ASKED)}
        assert seen == {text}
    assert httpx.delete(servers.url_of("page"), timeout=30, verify=NO_TLS).status_code == 204
    assert {servers.get("page").status_code for _ in range(ASKED)} == {404}
    assert servers.put("page", b"again").status_code == 200
    assert {servers.get("page").content for _ in range(ASKED)} == {b"again"}


def test_many_are_deleted_for_all(servers: Group, s3: BytesS3) -> None:
    keys = [f"k{n}" for n in range(300)]
    for key in keys:
        s3.put(key, key.encode())
    for key in keys[:3]:
        servers.known_by_all(key)
    began_s = time.monotonic()
    answer = servers.post(f"/objects/{BUCKET}?delete", {"keys": keys})
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began_s < 5
    for key in keys[:3]:
        assert {servers.get(key).status_code for _ in range(10)} == {404}


def test_a_purge_is_for_all(servers: Group, s3: BytesS3) -> None:
    for document, purged in (
        ({"bucket": BUCKET, "key": "a/page"}, 1),
        ({"bucket": BUCKET, "prefix": "a/"}, 1),
        ({"all": True}, 1),
    ):
        s3.put("a/page", b"before")
        assert servers.post("/cache/purge", {"all": True}).status_code == 200
        servers.known_by_all("a/page")
        s3.put("a/page", b"after")
        assert servers.get("a/page").content == b"before"
        answer = servers.post("/cache/purge", document)
        assert (answer.status_code, answer.json()) == (200, {"purged": purged})
        assert {servers.get("a/page").content for _ in range(ASKED)} == {b"after"}


def test_figures_are_of_all(servers: Group, s3: BytesS3) -> None:
    s3.put("page", b"x" * 1000)
    servers.known_by_all("page")
    one, other = (servers.figures("/cache/stats") for _ in range(2))
    assert one == other
    metrics = httpx.get(servers.url + "/metrics", verify=NO_TLS).text
    fetched = len(s3.gets("page"))
    assert fetched == 2  # each has asked for itself
    assert "parparchik_workers 2.0" in metrics


# -- whatever becomes of the workers --------------------------------------------------------------


def test_a_worker_that_is_stopped_lets_nobody_see_what_was(mortal: Group, s3: BytesS3) -> None:
    """It might go on at any time, with connections that it had accepted."""
    s3.put("page", b"old")
    mortal.known_by_all("page")
    stopped = min(mortal.pids())
    send(stopped, signal.SIGSTOP)
    began_s = time.monotonic()
    answer = mortal.put("page", b"new")
    took_s = time.monotonic() - began_s
    assert answer.status_code == 200
    assert 4 < took_s < 15
    assert not is_running(stopped)
    send(stopped, signal.SIGCONT)
    assert {mortal.get("page").content for _ in range(ASKED)} == {b"new"}
    mortal.all_up()
    mortal.known_by_all("page")
    assert {mortal.get("page").content for _ in range(ASKED)} == {b"new"}
    assert mortal.put("page", b"newer").status_code == 200
    assert "worker does not answer, and is killed" in mortal.program.output


@contextmanager
def away(servers: Group, victim: int) -> Iterator[None]:
    """Without that worker, and without any that is to follow it."""
    stay = servers.pids() - {victim}
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            for pid in servers.pids() - stay:
                send(pid, signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        until(lambda: not is_running(victim))
        yield
    finally:
        over.set()
        killer.join()


def test_what_was_changed_while_a_worker_was_away(mortal: Group, s3: BytesS3) -> None:
    """Its successor finds the files that it has left, and must not believe them."""
    s3.put("page", b"old")
    s3.put("other", b"stays")
    for key in ("page", "other"):
        mortal.known_by_all(key)
    time.sleep(0.3)  # the files get their names
    for n in range(4):
        text = b"new %d" % n
        with away(mortal, sorted(mortal.pids())[n % 2]):
            assert mortal.put("page", text).status_code == 200
            assert mortal.get("page").content == text
        mortal.all_up()
        mortal.known_by_all("page")
        assert {mortal.get("page").content for _ in range(ASKED)} == {text}
    assert mortal.get("other").content == b"stays"


@dataclass
class Race:
    """Writers that number what they write, and readers who know what was acknowledged before they
    asked."""

    servers: Group
    keys: tuple[str, ...] = ("a", "b")
    acknowledged: dict[str, int] = field(default_factory=dict)
    old: list[str] = field(default_factory=list)
    reads: int = 0
    writes: int = 0

    def run(self, disturb: object = None) -> None:
        self._over = threading.Event()
        for key in self.keys:
            self.acknowledged[key] = 0
        threads = [threading.Thread(target=self._write, args=(key,)) for key in self.keys]
        threads += [threading.Thread(target=self._read, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            if callable(disturb):
                disturb()
            time.sleep(RACE_S)
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _write(self, key: str) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                answer = self.servers.put(key, b"%d" % number)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                self.acknowledged[key] = number
                self.writes += 1
            else:
                assert answer.status_code == 503, answer.text
            time.sleep(random.random() * 0.02)

    def _read(self, seed: int) -> None:
        choice = random.Random(seed)
        while not self._over.is_set():
            key = choice.choice(self.keys)
            least = self.acknowledged[key]
            try:
                answer = self.servers.get(key)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                self.reads += 1
                if int(answer.content) < least:
                    self.old.append(f"{key}: {answer.content!r} after {least}")
            elif least and answer.status_code == 404:
                self.old.append(f"{key}: none after {least}")


def test_reads_and_writes_at_two_workers(servers: Group) -> None:
    race = Race(servers)
    race.run()
    assert race.old == []
    assert race.reads > 20
    assert race.writes > 5


def test_reads_and_writes_while_workers_die(mortal: Group) -> None:
    race = Race(mortal)

    def kill() -> None:
        for _ in range(4):
            time.sleep(0.7)
            send(random.choice(sorted(mortal.pids())), signal.SIGKILL)

    race.run(kill)
    assert race.old == []
    assert race.reads > 10
    assert race.writes > 2
