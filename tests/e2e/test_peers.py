"""Several hosts with caches of the same bucket: what was changed through one, none gives out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.byte_groups import Group, until
from tests.e2e.bytes_s3 import BUCKET, BytesS3, bytes_s3
from tests.e2e.peer_hosts import KEY, Hosts, peers, stopped, until_told
from tests.e2e.test_bytes_workers import Race
from tests.plain_http import NO_TLS

ASKED = 12


@pytest.fixture
def s3() -> Iterator[BytesS3]:
    with bytes_s3() as s3:
        yield s3


@pytest.fixture(params=["1", "2 disk"])
def hosts(s3: BytesS3, request: pytest.FixtureRequest, tmp_path: Path) -> Hosts:
    workers, _, disk = request.param.partition(" ")
    return Hosts(s3, int(workers), tmp_path if disk else None)


def seen(server: Group, key: str) -> set[bytes]:
    """What clients on connections of their own get."""
    return {server.get(key).content for _ in range(ASKED)}


def test_a_write_through_one_host_is_true_at_the_other(hosts: Hosts, s3: BytesS3) -> None:
    s3.put("page", b"old")
    with hosts.both() as (a, b):
        for n in range(3):
            b.known_by_all("page")
            assert a.put("page", b"version %d" % n).status_code == 200
            assert seen(b, "page") == {b"version %d" % n}
        assert b.put("page", b"and back").status_code == 200
        assert seen(a, "page") == {b"and back"}
        b.known_by_all("page")
        assert httpx.delete(a.url_of("page"), timeout=30, verify=NO_TLS).status_code == 204
        assert {b.get("page").status_code for _ in range(ASKED)} == {404}

        keys = [f"k{n}" for n in range(50)]
        for key in keys:
            s3.put(key, b"there")
        for key in keys[:2]:
            b.known_by_all(key)
        assert a.post(f"/objects/{BUCKET}?delete", {"keys": keys}).status_code == 200
        for key in keys[:2]:
            assert {b.get(key).status_code for _ in range(ASKED)} == {404}

        for one in (a, b):
            until_told(one)
            asked = one.program.output.count("/cache/forget")
            assert 0 < asked < 60, "what a peer has told goes no further"


def test_a_purge_is_for_all_hosts(hosts: Hosts, s3: BytesS3) -> None:
    with hosts.both() as (a, b):
        for document in (
            {"bucket": BUCKET, "key": "d/page"},
            {"bucket": BUCKET, "prefix": "d/"},
            {"all": True},
        ):
            s3.put("d/page", b"before")
            assert b.post("/cache/purge", {"all": True}).status_code == 200
            b.known_by_all("d/page")
            s3.put("d/page", b"after")
            assert seen(b, "d/page") == {b"before"}
            assert a.post("/cache/purge", document).status_code == 200
            assert seen(b, "d/page") == {b"after"}


def test_a_host_that_hangs_holds_no_write_and_learns_of_it(s3: BytesS3, hosts: Hosts) -> None:
    s3.put("page", b"old")
    hosts.wait = "1s"
    with hosts.both() as (a, b):
        b.known_by_all("page")
        with stopped(b):
            assert a.put("page", b"new").status_code == 200
            for n in range(3):
                assert a.put(f"other-{n}", b"x").status_code == 200
            assert seen(a, "page") == {b"new"}
            assert peers(a)[0]["pending"] > 0
            ready = httpx.get(a.url + "/readiness", timeout=30, verify=NO_TLS)
            assert ready.status_code == 200
            until(lambda: not peers(a)[0]["reachable"])
        until_told(a)
        assert seen(b, "page") == {b"new"}
        assert a.program.output.count("cache peer is away") >= 1
        assert a.program.output.count("cache peer is back") >= 1
        b.known_by_all("page")
        assert a.put("page", b"newer").status_code == 200
        until_told(a)
        assert seen(b, "page") == {b"newer"}


@pytest.mark.parametrize("hosts", ["1 disk", "2 disk"], indirect=True)
def test_a_host_that_was_down_believes_no_file_that_is_outdated(hosts: Hosts, s3: BytesS3) -> None:
    for key in ("page", "stays"):
        s3.put(key, b"old")
    with hosts.host("a") as a:
        with hosts.host("b") as b:
            until_told(a)
            for key in ("page", "stays"):
                b.known_by_all(key)
            b.end()
        assert a.put("page", b"new").status_code == 200
        assert peers(a)[0]["pending"] > 0
        s3.asked.clear()
        with hosts.host("b") as b:
            until_told(a)
            assert seen(b, "page") == {b"new"}
            assert seen(b, "stays") == {b"old"}
            if hosts.workers == 1:  # of several, each has its own files
                assert s3.gets("stays") == [], "the files of others are good"


def test_one_that_ends_says_what_it_has_to_say_before(s3: BytesS3) -> None:
    """Nobody waits for the peers here, so that something is left to say."""
    hosts = Hosts(s3, 1, wait="0s")
    s3.put("page", b"old")
    with hosts.both() as (a, b):
        b.known_by_all("page")
        assert a.put("page", b"new").status_code == 200
        a.end()
        assert seen(b, "page") == {b"new"}


@dataclass
class FromOneToTheOther:
    """What a race writes through one host it reads from the other."""

    writer: Group
    reader: Group

    def put(self, key: str, data: bytes) -> httpx.Response:
        return self.writer.put(key, data)

    def get(self, key: str) -> httpx.Response:
        return self.reader.get(key)


@pytest.mark.parametrize("workers", [1, 2])
def test_reads_at_one_host_and_writes_at_the_other(s3: BytesS3, workers: int) -> None:
    """What was acknowledged before somebody asks is what he gets: a GET that was under way while
    its object changed has left nothing."""
    with Hosts(s3, workers).both() as (a, b):
        race = Race(FromOneToTheOther(a, b))  # type: ignore[arg-type]
        race.run()
        assert race.old == []
        assert race.reads > 20
        assert race.writes > 5


def test_a_host_with_another_key_is_told_of_nothing_and_says_why(s3: BytesS3) -> None:
    hosts = Hosts(s3, 1, wait="1s")
    with (
        hosts.host("a") as a,
        hosts.host("b", PARPARCHIK_CACHE_PEER_KEY="quite-another-key") as b,
    ):
        until(lambda: [peer["reachable"] for peer in peers(a)] == [False])
        assert a.put("page", b"x").status_code == 200
        assert peers(a)[0]["pending"] == 1
        until(lambda: "it does not know the key (401)" in a.program.output)
        assert httpx.get(a.url + "/readiness", verify=NO_TLS).status_code == 200
        for one in (a, b):
            assert KEY not in one.program.output
