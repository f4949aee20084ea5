"""`parparchik cache`: what it asks a running server for, and what it makes of the answers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from parparchik.cli.management import ManagementAPI, server_url
from parparchik.cli.warming import BATCH, Tally, Warmer
from parparchik.config.model import ServerConfig
from tests.cli.management import Server, management_server
from tests.cli.moto_buckets import Buckets, Command

KEY = "the-key-of-the-operator"


def warmed(path: str, document: Any) -> tuple[int, Any]:
    """As a server that has everything but what is named for what becomes of it."""
    assert path == "/cache/warm"
    keys = document["keys"]
    missing = [key for key in keys if "missing" in key]
    passed = [key for key in keys if "large" in key]
    errors = [{"key": k, "error": "S3 is away", "code": 503} for k in keys if "broken" in k]
    count = len(keys) - len(missing) - len(passed) - len(errors)
    told = {"missing": missing, "passed": passed, "errors": errors}
    return 200, {"warmed": count, "bytes": 10 * count, **told}


# -- purge and stats --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "document"),
    [
        (["docs", "a b.txt"], {"bucket": "docs", "key": "a b.txt"}),
        (["docs", "--prefix", "img/"], {"bucket": "docs", "prefix": "img/"}),
        (["docs", "--prefix", ""], {"bucket": "docs", "prefix": ""}),
        (["--all"], {"all": True}),
    ],
)
def test_purge(command: Command, arguments: list[str], document: object) -> None:
    with management_server(lambda *_: (200, {"purged": 3})) as server:
        result = command(["cache", "purge", *arguments, "--url", server.url, "--api-key", KEY])
    assert (result.exit_code, result.output) == (0, "purged 3\n")
    assert server.asked == [("POST", "/cache/purge", document, KEY)]


@pytest.mark.parametrize(
    "arguments", ["", "docs", "docs a --prefix b", "docs --all", "docs a --all", "--prefix a"]
)
def test_purge_says_what_to_give(command: Command, arguments: str) -> None:
    result = command(f"cache purge {arguments} --url http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "give BUCKET KEY, BUCKET --prefix PREFIX, or --all" in result.stderr


def test_stats_as_a_table_and_as_they_came(command: Command) -> None:
    figures = {"hits": 5, "memory": {"bytes": 10, "note": "a\x1b[31m"}, "tiers": [1], "none": []}
    with management_server(lambda *_: (200, figures)) as server:
        plain = command(f"cache stats --url {server.url}")
        as_json = command(f"cache stats --json --url {server.url}")
    rows = [line.split() for line in plain.output.splitlines()]
    assert rows == [
        ["FIGURE", "VALUE"], ["hits", "5"], ["memory.bytes", "10"], ["memory.note", "a\\x1b[31m"],
        ["tiers.0", "1"], ["none", "[]"],
    ]  # fmt: skip
    assert json.loads(as_json.output) == figures
    assert server.asked == [("GET", "/cache/stats", None, "")] * 2


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (401, {"error": "an API key is needed"}, "answered 401: an API key is needed (its API key"),
        (404, b"", "answered 404: it has no cache"),
        (500, {"error": "two\nlines"}, "answered 500: two lines"),
        (200, b"<html>", "answered 200, and no JSON: is it parparchik?"),
        (200, {"something": "else"}, "did not say what it purged: is it parparchik?"),
        (302, b"", "answered 302"),
    ],
)
def test_refusals_are_one_line(command: Command, status: int, said: object, told: str) -> None:
    with management_server(lambda *_: (status, said)) as server:
        result = command(f"cache purge --all --url {server.url} --api-key {KEY}")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert KEY not in result.output


def test_a_server_that_is_not_there(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = command(f"cache stats --url http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert "does not answer: Connection refused (--url names another server)" in result.stderr


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://u:p@h", "http://h:x", "http://ж"])
def test_a_url_that_is_none(command: Command, url: str) -> None:
    result = command(["cache", "stats", "--url", url])
    assert result.exit_code == 2
    assert "--url: expected http(s)://host:port" in result.stderr


def test_the_server_and_its_key_come_from_the_settings(
    command: Command, buckets: Buckets, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    with management_server(lambda *_: (200, {})) as server:
        environ = {
            **buckets.environ,
            "PARPARCHIK_PORT": server.url.rpartition(":")[2],
            "PARPARCHIK_API_KEYS_FILE": str(keys),
        }
        assert command("cache stats --json", environ).exit_code == 0
        environ["PARPARCHIK_API_KEYS"] = f"another-{KEY},{KEY}"
        assert command("cache stats --json", environ).exit_code == 0
    assert [key for *_, key in server.asked] == [KEY, f"another-{KEY}"]


@pytest.mark.parametrize(
    ("server", "url"),
    [
        (ServerConfig(), "http://127.0.0.1:8080"),
        (ServerConfig(host="::", port=81), "http://[::1]:81"),
        (ServerConfig(host="files.example"), "http://files.example:8080"),
        (ServerConfig(tls_certificate=Path("c")), "https://127.0.0.1:8080"),
        (ServerConfig(tls_certificate=Path("c"), tls_port=8443), "http://127.0.0.1:8080"),
    ],
)
def test_where_this_machine_reaches_a_server(server: ServerConfig, url: str) -> None:
    assert server_url(server) == url


def test_a_port_that_the_settings_leave_open(command: Command, buckets: Buckets) -> None:
    result = command("cache stats", {**buckets.environ, "PARPARCHIK_PORT": "0"})
    assert (result.exit_code, "give --url" in result.stderr) == (2, True)


# -- warm -------------------------------------------------------------------------------------


def warm(command: Command, server: Server, *arguments: str, exit_code: int = 0) -> str:
    result = command(["cache", "warm", *arguments, "--url", server.url])
    assert result.exit_code == exit_code, result.output
    return str(result.output)


def test_warm_from_a_list(command: Command, tmp_path: Path) -> None:
    keys = [f"img/{number}.png" for number in range(2 * BATCH + 3)]
    file = tmp_path / "keys"
    file.write_text("\n".join(keys[:10]) + "\r\n\n" + "\n".join(keys[10:]))
    with management_server(warmed) as server:
        told = warm(command, server, "docs", str(file))
    assert told == f"{len(keys)} objects of {10 * len(keys)} bytes are in the cache," \
        " 0 are never kept, 0 missing, 0 failed\n"  # fmt: skip
    documents = server.documents("/cache/warm")
    assert all(document["bucket"] == "docs" for document in documents)
    assert sorted(len(document["keys"]) for document in documents) == [3, BATCH, BATCH]
    assert sorted(key for document in documents for key in document["keys"]) == sorted(keys)


def test_warm_from_a_manifest(command: Command, buckets: Buckets) -> None:
    for bucket, key in ((buckets.public, "a.txt"), (buckets.private, "b/Договор 7.txt")):
        buckets.put(bucket, key)
    assert command("manifest rebuild", buckets.environ).exit_code == 0
    with management_server(warmed) as server:
        everything = ["cache", "warm", "--manifest", "--url", server.url]
        assert command(everything, buckets.environ).exit_code == 0
        assert command([*everything, buckets.private], buckets.environ).exit_code == 0
        result = command([*everything, "no-such-bucket"], buckets.environ)
    assert result.exit_code == 2
    assert "no bucket no-such-bucket has routes: " in result.stderr
    asked = [(one["bucket"], one["keys"]) for one in server.documents("/cache/warm")]
    private = (buckets.private, ["b/Договор 7.txt"])
    assert asked == [(buckets.public, ["a.txt"]), private, private]


def test_keys_that_failed_are_told_counted_and_written_down(
    command: Command, tmp_path: Path
) -> None:
    broken = [f"broken {number}" for number in range(25)]
    file, failed = tmp_path / "keys", tmp_path / "failed"
    file.write_text("\n".join([*broken, "missing", "large", "fine"]))
    with management_server(warmed) as server:
        told = warm(command, server, "docs", str(file), "--failed", str(failed), exit_code=1)
        assert failed.read_text().split("\n")[:-1] == broken
        assert told.count("S3 is away") == 20
        assert "docs/broken 0: S3 is away" in told
        assert "... and 5 more" in told
        assert (
            "1 objects of 10 bytes are in the cache, 1 are never kept, 1 missing, 25 failed" in told
        )
        # What is missing is no failure, and what failed can be given again.
        file.write_text("missing\nfine\n")
        warm(command, server, "docs", str(file))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"fine\n\xff\n", "line 2 is not UTF-8"), (b"a" * 1025, "line 1 is longer than a key can be")],
)
def test_a_list_that_is_none(command: Command, tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with management_server(warmed) as server:
        assert told in warm(command, server, "docs", str(file), exit_code=1)


@pytest.mark.parametrize("arguments", ["", "docs", "--manifest docs keys"])
def test_warm_says_what_to_give(command: Command, arguments: str) -> None:
    result = command(f"cache warm {arguments} --url http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "give BUCKET KEYS_FILE (- for standard input), or --manifest" in result.stderr


def test_a_file_that_is_not_there(command: Command) -> None:
    result = command("cache warm docs /nonexistent --url http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "/nonexistent: No such file" in result.stderr


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_takes_no_key_is_asked_once(
    command: Command, tmp_path: Path, status: int
) -> None:
    file = tmp_path / "keys"
    file.write_text("\n".join(map(str, range(10 * BATCH))))
    with management_server(lambda *_: (status, {"error": "no"})) as server:
        told = warm(command, server, "docs", str(file), "--parallel", "1", exit_code=1)
    assert f"answered {status}: no" in told
    assert len(server.asked) == 1


async def run_warmer(server: Server, count: int, rate: float | None = None) -> tuple[Tally, float]:
    tally, failures = Tally(), []
    warmer = Warmer(
        ManagementAPI(server.url),
        tally,
        lambda *failure: failures.append(failure),
        lambda: None,
        parallel=1,
        rate_per_s=rate,
    )
    began = trio.current_time()
    await warmer.run(("docs", f"{number}") for number in range(count))
    assert len(failures) == tally.failed
    return tally, trio.current_time() - began


async def test_a_rate_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    with management_server(warmed) as server:
        tally, seconds = await run_warmer(server, 60, rate=10)
    assert tally.warmed == 60
    assert 5 <= seconds <= 6
    assert max(len(one["keys"]) for one in server.documents("/cache/warm")) <= 10


async def test_an_overloaded_server_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    refusals = iter([503, 429])

    def reply(path: str, document: Any) -> tuple[int, Any]:
        status = next(refusals, 200)
        return warmed(path, document) if status == 200 else (status, {"error": "later"})

    with management_server(reply) as server:
        tally, _ = await run_warmer(server, 5)
    assert (tally.warmed, tally.failed) == (5, 0)
    assert len(server.asked) == 3


async def test_a_batch_that_is_never_taken_fails_and_the_others_go_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def reply(path: str, document: Any) -> tuple[int, Any]:
        return (500, {"error": "no"}) if "0" in document["keys"] else warmed(path, document)

    with management_server(reply) as server:
        tally, _ = await run_warmer(server, BATCH + 5)
    assert (tally.warmed, tally.failed) == (5, BATCH)


async def test_keys_are_read_as_they_are_needed() -> None:
    """However long the list: a server that answers nothing has few of its keys taken."""
    taken = 0

    def keys() -> Iterator[tuple[str, str]]:
        nonlocal taken
        for taken in range(1_000_000):
            yield "docs", str(taken)

    asked, answer = trio.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def reply(path: str, document: Any) -> tuple[int, Any]:
        trio.from_thread.run_sync(asked.set, trio_token=token)
        trio.from_thread.run(answer.wait, trio_token=token)
        return 401, {"error": "enough"}

    with management_server(reply) as server:
        warmer = Warmer(
            ManagementAPI(server.url), Tally(), lambda *_: None, lambda: None, parallel=2
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_refused, warmer, keys())
            await asked.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            answer.set()
    assert taken <= 6 * BATCH


async def _until_refused(warmer: Warmer, keys: Iterator[tuple[str, str]]) -> None:
    with pytest.raises(ExceptionGroup):
        await warmer.run(keys)


def test_settings_that_do_not_load_are_the_reason(command: Command) -> None:
    result = command("cache stats")
    assert result.exit_code == 2
    assert "set PARPARCHIK_BUCKETS=" in result.stderr
    assert "--url" in result.stderr


# -- as a process -----------------------------------------------------------------------------


def warming(server: Server) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "parparchik", "cache", "warm", "docs", "-", "--url", server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_keys_from_standard_input() -> None:
    with management_server(warmed) as server:
        told, errors = warming(server).communicate("a\nб\n\nmissing".encode(), timeout=30)
    assert server.documents("/cache/warm") == [{"bucket": "docs", "keys": ["a", "б", "missing"]}]
    assert told.decode().endswith("are in the cache, 0 are never kept, 1 missing, 0 failed\n")
    assert errors == b""


def test_interrupted_it_says_how_far_it_came() -> None:
    """Also while it waits for standard input, which nothing can interrupt."""
    asked = threading.Event()

    def reply(path: str, document: Any) -> tuple[int, Any]:
        asked.set()
        return warmed(path, document)

    with management_server(reply) as server:
        process = warming(server)
        assert process.stdin is not None
        process.stdin.write(b"".join(b"%d\n" % number for number in range(BATCH)))
        process.stdin.flush()
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        try:
            # Its input stays open meanwhile.
            assert process.wait(30) == 130
            assert process.stdout is not None
            assert process.stderr is not None
            told, errors = process.stdout.read().decode(), process.stderr.read()
        finally:
            process.kill()
            process.communicate()
    assert "are in the cache" in told
    assert errors == b""
