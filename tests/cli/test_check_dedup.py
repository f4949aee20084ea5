"""check where there is a dedup store: its bucket, its metadata, and what it needs beside them."""

from __future__ import annotations

import gc
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.moto_buckets import Buckets, Command
from tests.dedup.redis_process import RedisProcess, need_redis
from tests.dedup.redis_scene import UNCLOSED

pytestmark = UNCLOSED


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What coredis forgets is found here, where it is known of, and not in somebody else's test."""
    yield
    gc.collect()


PROBE = "kept/.parparchik-check"


@pytest.fixture
def environ(buckets: Buckets, tmp_path: Path) -> dict[str, str]:
    """With a dedup store alone."""
    routes_less = {n: v for n, v in buckets.environ.items() if n != "PARPARCHIK_BUCKETS"}
    return routes_less | {
        "PARPARCHIK_DEDUP_BUCKET": buckets.private,
        "PARPARCHIK_DEDUP_PREFIX": "kept/",
        "PARPARCHIK_DEDUP_METADATA": f"sqlite:///{tmp_path}/files.db",
        "PARPARCHIK_DEDUP_SPOOL": "1MiB",
    }


def found(output: str) -> dict[str, tuple[str, str]]:
    """Result and detail of each of its checks."""
    lines = [line.split(maxsplit=4) for line in output.splitlines()]
    return {
        f"{each[1]} {each[2]}": (each[3], each[4] if len(each) > 4 else "")
        for each in lines
        if len(each) > 3 and each[1] == "dedup"
    }


def opened_once(command: Command, environ: dict[str, str]) -> None:
    assert command("dedup stats", environ).exit_code == 0


def test_all_well(command: Command, buckets: Buckets, environ: dict[str, str]) -> None:
    opened_once(command, environ)
    result = command("check", environ)
    assert result.exit_code == 0, result.output
    assert f"dedup store /ft/: {buckets.private}/kept/" in result.stdout
    steps = found(result.stdout)
    assert {name: one[0] for name, one in steps.items()} == {
        "dedup list": "ok",
        "dedup write": "ok",
        "dedup read": "ok",
        "dedup delete": "ok",
        "dedup metadata": "ok",
        "dedup spool": "ok",
    }
    assert re.search(r"files\.db, version \d+, can be written$", steps["dedup metadata"][1])
    assert buckets.get(buckets.private, PROBE) is None


def test_a_database_that_is_not_there_is_not_made(
    command: Command, environ: dict[str, str], tmp_path: Path
) -> None:
    result = command("check", environ)
    assert result.exit_code == 0
    assert "none yet" in found(result.stdout)["dedup metadata"][1]
    assert list(tmp_path.iterdir()) == []


def test_a_new_database_for_a_bucket_that_is_not(
    command: Command, buckets: Buckets, environ: dict[str, str]
) -> None:
    buckets.put(buckets.private, "kept/ab/cd/something")
    step = found(command("check", environ).stdout)["dedup metadata"]
    assert step[0] == "note"
    assert "dedup import" in step[1]


def test_without_writing(
    command: Command, buckets: Buckets, environ: dict[str, str], tmp_path: Path
) -> None:
    opened_once(command, environ)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = command("check --no-write", environ)
    assert result.exit_code == 0
    assert set(found(result.stdout)) == {"dedup list", "dedup metadata", "dedup spool"}
    assert buckets.get(buckets.private, PROBE) is None
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1000")
        connection.commit()


def older(file: Path) -> None:
    with file.open("r+b") as opened:  # as if a newer program came to this one
        opened.seek(60)
        opened.write(struct.pack(">I", 0))


def someone_elses(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA application_id = 1")
        connection.commit()


def text(file: Path) -> None:
    file.write_text("not a database")


@pytest.mark.parametrize(
    ("make", "result", "told"),
    [
        (newer, "FAILED", "written by a newer parparchik"),
        (older, "note", "which older programs cannot read"),
        (someone_elses, "FAILED", "a database of another program"),
        (text, "FAILED", "no SQLite database"),
    ],
)
@pytest.mark.parametrize("options", ["", " --no-write"])
def test_a_database_of_another_kind(
    command: Command,
    environ: dict[str, str],
    tmp_path: Path,
    make: Callable[[Path], None],
    result: str,
    told: str,
    options: str,
) -> None:
    opened_once(command, environ)
    make(tmp_path / "files.db")
    said = command("check" + options, environ)
    step = found(said.stdout)["dedup metadata"]
    assert step[0] == result
    assert told in step[1]
    assert said.exit_code == (1 if result == "FAILED" else 0)


def test_a_directory_that_is_not_there(command: Command, environ: dict[str, str]) -> None:
    environ["PARPARCHIK_DEDUP_METADATA"] = "sqlite:////no/such/directory/files.db"
    result = command("check", environ)
    assert result.exit_code == 1
    step = found(result.stdout)["dedup metadata"]
    assert step[0] == "FAILED"
    assert "/no/such/directory does not exist" in step[1]
    # What is wrong with one thing keeps nothing else from being looked at.
    assert found(result.stdout)["dedup spool"][0] == "ok"


def test_a_bucket_that_is_not_there(command: Command, environ: dict[str, str]) -> None:
    environ["PARPARCHIK_DEDUP_BUCKET"] = "no-such-bucket"
    result = command("check", environ)
    assert result.exit_code == 1
    steps = found(result.stdout)
    assert steps["dedup list"][0] == steps["dedup write"][0] == "FAILED"
    assert steps["dedup metadata"][0] == "ok"


def test_versions_that_are_kept_are_told_of(
    command: Command, buckets: Buckets, environ: dict[str, str]
) -> None:
    state = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert buckets.request("PUT", f"/{buckets.private}?versioning", state.encode())[0] == 200
    result = command("check", environ)
    assert result.exit_code == 0
    assert found(result.stdout)["dedup read"][0] == "note"
    assert "lifecycle rule" in result.stdout


def test_little_room_to_spool(command: Command, environ: dict[str, str], tmp_path: Path) -> None:
    environ["PARPARCHIK_DEDUP_SPOOL"] = "1PiB"
    step = found(command("check", environ).stdout)["dedup spool"]
    assert step[0] == "note"
    assert "PARPARCHIK_DEDUP_SPOOL" in step[1]
    environ["PARPARCHIK_DEDUP_SPOOL_DIR"] = f"{tmp_path}/none"
    assert found(command("check", environ).stdout)["dedup spool"][0] == "FAILED"


def test_an_upstream_that_does_not_answer(command: Command, environ: dict[str, str]) -> None:
    environ["PARPARCHIK_DEDUP_UPSTREAM"] = "http://127.0.0.1:9"
    result = command("check", environ)
    assert result.exit_code == 1
    assert found(result.stdout)["dedup upstream"][0] == "FAILED"


def test_who_may_write_is_told(command: Command, environ: dict[str, str]) -> None:
    environ["PARPARCHIK_HOST"] = "0.0.0.0"
    told = "everybody who reaches 0.0.0.0:8080 can store and delete files at /ft/"
    assert told in command("check --no-write", environ).stdout
    environ["PARPARCHIK_API_KEYS"] = "a-key-that-is-long-enough"
    assert told not in command("check --no-write", environ).stdout
    environ["PARPARCHIK_DEDUP_WRITE_NEEDS_KEY"] = "false"
    assert told in command("check --no-write", environ).stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--appendfsync", "always"), ""),
        (("--appendonly", "no"), "set appendonly yes, not 'no'"),
        (
            ("--maxmemory-policy", "allkeys-lru"),
            "set maxmemory-policy noeviction, not 'allkeys-lru'",
        ),
    ],
)
def test_a_redis_and_its_settings(
    command: Command, environ: dict[str, str], tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    need_redis()
    server = RedisProcess(tmp_path / "redis", *options)
    server.start()
    try:
        environ["PARPARCHIK_DEDUP_METADATA"] = server.url
        for more in ("", " --no-write"):
            result = command("check" + more, environ)
            step = found(result.stdout)["dedup metadata"]
            assert step[0] == ("FAILED" if told else "ok"), step
            assert result.exit_code == (1 if told else 0)
            assert told in step[1]
            assert ("can be written" in step[1]) is not bool(more)
    finally:
        server.kill()
    step = found(command("check", environ).stdout)["dedup metadata"]
    assert step[0] == "FAILED"
    assert "cannot be reached" in step[1]


def test_a_password_is_not_shown(command: Command, environ: dict[str, str]) -> None:
    environ["PARPARCHIK_DEDUP_METADATA"] = "redis://:a-password@127.0.0.1:9/0"
    result = command("check", environ)
    assert found(result.stdout)["dedup metadata"][0] == "FAILED"
    assert "a-password" not in result.output
