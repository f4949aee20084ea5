"""The races about bytes: peers and ours answer rightly, and who does not is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest
import trio

from bench.compare.bulk import (
    PUT_BYTES,
    RACES,
    BulkContestant,
    BulkRace,
    bulk_programs,
    deck_of,
    judge_bulk,
    path_of,
    sink,
)
from bench.compare.bulk_sections import BULK_GROUPS
from bench.compare.judge import WrongAnswer
from bench.compare.machine import missing_packages
from bench.compare.programs import s3
from bench.compare.running import running
from bench.compare.stage import BULK_BUCKET, LARGE_KEYS, SMALL_BYTES, SMALL_KEYS, Stage
from bench.local import share_out

SMALL, LARGE, COLD, PUT = RACES
NOBODY = BulkContestant("nobody", "nobody", "nobody", "nobody", "nothing")
Get = Callable[[str], tuple[int, bytes, str]]
"""(status, body, X-Cache) for a key."""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.furnish()
    return stage


@contextmanager
def answering(stage: Stage, get: Get) -> Iterator[None]:
    """A contestant of the test's own, that throws away what is PUT."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            status, body, cache = get(self.path.rpartition("/")[2])
            self.send_response(status)
            self.send_header("X-Cache", cache)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stage.ports["nobody"] = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.skipif("nginx-light" in missing_packages(), reason="needs nginx-light")
async def test_all_contestants_do_what_they_are_compared_at(stage: Stage) -> None:
    processors = share_out().load
    async with running(s3(stage), processors), AsyncExitStack() as stack:
        await stack.enter_async_context(running(sink(stage), processors))
        for program in bulk_programs(stage).values():
            await stack.enter_async_context(running(program, processors))
        for race in RACES:
            for contestant in race.contestants:
                await trio.to_thread.run_sync(judge_bulk, race, contestant, stage)
    text = (stage.directory / "bulk" / "nginx.conf").read_text()
    assert "access_log off;" in text
    assert "@" not in text.replace("two @", "")


@pytest.mark.parametrize("race", [SMALL, LARGE, COLD])
def test_the_right_bytes_are_let_pass(stage: Stage, race: BulkRace) -> None:
    cache = "MISS" if race is COLD else "HIT"
    with answering(stage, lambda key: (200, stage.bulk_content(key), cache)):
        judge_bulk(race, NOBODY, stage)


@pytest.mark.parametrize(
    ("race", "spoil"),
    [
        (SMALL, lambda key, body: (200, body[:-1] + b"!", "HIT")),
        (SMALL, lambda key, body: (200, body[:-1], "HIT")),
        (SMALL, lambda key, body: (404 if key == SMALL_KEYS[7] else 200, body, "HIT")),
        (SMALL, lambda key, body: (200, body, "MISS")),
        (LARGE, lambda key, body: (200, body, "MISS" if key == LARGE_KEYS[-1] else "HIT")),
        (COLD, lambda key, body: (200, body, "HIT")),
        (COLD, lambda key, body: (200, b"", "MISS")),
    ],
)
def test_wrong_bytes_and_another_source_are_noticed(
    stage: Stage, race: BulkRace, spoil: Callable[[str, bytes], tuple[int, bytes, str]]
) -> None:
    with (
        answering(stage, lambda key: spoil(key, stage.bulk_content(key))),
        pytest.raises(WrongAnswer),
    ):
        judge_bulk(race, NOBODY, stage)


async def test_who_throws_away_what_is_put_is_noticed(stage: Stage) -> None:
    async with running(sink(stage), share_out().load):
        with answering(stage, lambda key: (404, b"", "")), pytest.raises(WrongAnswer, match="S3"):
            await trio.to_thread.run_sync(judge_bulk, PUT, NOBODY, stage)


def test_what_is_cold_is_never_asked_for_twice() -> None:
    contestant = replace(NOBODY, mount="/objects")
    first, second = (
        {ask.path for ask in islice(deck_of("cold", contestant).deal(0, 1), 3000)} for _ in range(2)
    )
    assert len(first) == len(second) == 3000
    assert not first & second
    assert all(path.startswith(f"/objects/{BULK_BUCKET}/cold-") for path in first)


def test_what_is_cached_is_asked_for_again() -> None:
    asks = list(islice(deck_of("small", NOBODY).deal(0, 1), 400))
    assert [ask.path for ask in asks[:200]] == [path_of(NOBODY, key) for key in SMALL_KEYS]
    assert asks[:200] == asks[200:]
    assert {ask.expected.body_bytes for ask in asks} == {SMALL_BYTES}
    assert next(deck_of("put", NOBODY).deal(0, 1)).put_bytes == PUT_BYTES


def test_every_race_has_its_section() -> None:
    assert [race.group for race in RACES] == list(BULK_GROUPS)
