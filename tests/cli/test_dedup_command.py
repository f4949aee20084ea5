"""`parparchik dedup`: each command on a store with files in it, in a bucket of moto."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from parparchik.config import load
from parparchik.dedup import FiletrackerServer
from parparchik.dedup.put import Put
from parparchik.server import open_dedup
from tests.cli.moto_buckets import Buckets, Command
from tests.dedup.tracker import Tracker, tracking_server
from tests.fakes_bytes import FakeUpload

BUCKET = "dedup"
DATA = b"a line of a file\n" * 100


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with tracking_server() as tracker:
        tracker.files = {
            "a/b": (DATA, 100),
            "a/c": (DATA, 200),
            "d": (b"other", -5),
        }
        yield tracker


class Store:
    """An empty one, as settings have it."""

    def __init__(self, buckets: Buckets, directory: Path) -> None:
        assert buckets.request("PUT", f"/{BUCKET}")[0] in (200, 409)
        self.buckets = buckets
        self.directory = directory
        self.environ = buckets.environ | {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "SECRETEXAMPLE",
            "PARPARCHIK_DEDUP_BUCKET": BUCKET,
            "PARPARCHIK_DEDUP_PREFIX": f"{directory.name}/",
            "PARPARCHIK_DEDUP_METADATA": f"sqlite:///{directory}/files.db",
        }

    def key(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        return f"{self.directory.name}/{digest[:2]}/{digest[2:4]}/{digest}"

    def stored(self, data: bytes) -> bytes | None:
        found = self.buckets.get(BUCKET, self.key(data))
        return None if found is None else gzip.decompress(found)

    def delete(self, path: str) -> None:
        async def main() -> None:
            async with open_dedup(load(self.environ).config, self.environ) as parts:
                assert (await parts.store.delete(path, 10**9)).done

        trio.run(main)

    def put(self, path: str, data: bytes) -> None:
        async def main() -> None:
            async with open_dedup(load(self.environ).config, self.environ) as parts:
                upload = FakeUpload(data, size_bytes=len(data))
                assert (await parts.store.put(Put(path, 10**9, upload))).done

        trio.run(main)

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.directory / "files.db")) as connection, connection:
            connection.execute(statement)


@pytest.fixture
def store(buckets: Buckets, tmp_path: Path) -> Store:
    return Store(buckets, tmp_path)


@pytest.fixture
def filled(store: Store, tracker: Tracker, command: Command) -> Store:
    # One at a time: of equal contents at the same time one upload is for nothing, and garbage.
    result = command(f"dedup migrate --from {tracker.url} --parallel 1", store.environ)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"3 files copied ({2 * len(gzip.compress(DATA)) + len(gzip.compress(b'other'))} bytes),"
        " 0 were here, 0 gone, 0 failed\n"
    )
    return store


def test_migrate_can_be_run_again(filled: Store, tracker: Tracker, command: Command) -> None:
    tracker.files["new"] = (b"new", 1)
    tracker.more_listed = ("gone",)
    result = command(f"dedup migrate --from {tracker.url}/", filled.environ)
    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first.endswith("3 were here, 1 gone, 0 failed")
    assert rest == ["  gone: 404: it is not there any more"]
    assert filled.stored(DATA) == DATA
    assert filled.stored(b"new") == b"new"


def test_migrate_says_what_failed(store: Store, tracker: Tracker, command: Command) -> None:
    tracker.files["d"] = (b"x", 1)
    tracker.fails = {"d": "junk"}
    result = command(f"dedup migrate --from {tracker.url}", store.environ)
    assert result.exit_code == 1
    assert "2 files copied" in result.stdout
    assert "  d: " in result.stdout


@pytest.mark.parametrize("source", ["ftp://host", "host:9999", "/tmp", ""])
def test_migrate_from_nowhere(store: Store, command: Command, source: str) -> None:
    result = command(f"dedup migrate --from '{source}'", store.environ)
    assert result.exit_code == 2
    assert "--from: expected" in result.stderr


def test_migrate_from_who_does_not_answer(store: Store, command: Command) -> None:
    result = command("dedup migrate --from http://127.0.0.1:1", store.environ)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "filetracker server cannot be asked" in result.stderr


def test_migrate_a_directory(store: Store, command: Command) -> None:
    tree = store.directory / "tracker"
    (tree / "links").mkdir(parents=True)
    (tree / "blob").write_bytes(gzip.compress(DATA))
    (tree / "links" / "a").symlink_to(tree / "blob")
    os.utime(tree / "links" / "a", (77, 77), follow_symlinks=False)
    result = command(f"dedup migrate --from {tree}", store.environ)
    assert result.exit_code == 0, result.output
    assert "1 files copied" in result.stdout
    assert store.stored(DATA) == DATA


def test_stats(filled: Store, command: Command) -> None:
    result = command("dedup stats --json", filled.environ)
    figures = json.loads(result.stdout)
    stored = len(gzip.compress(DATA)) + len(gzip.compress(b"other"))
    logical = 2 * len(DATA) + len(b"other")
    assert figures == {
        "files": 3,
        "blobs": 2,
        "logical_bytes": logical,
        "stored_bytes": stored,
        "ratio": round(logical / stored, 3),
        "orphans": 0,
        "garbage": 0,
        "lost": 0,
    }
    lines = [line.split() for line in command("dedup stats", filled.environ).stdout.splitlines()]
    assert lines[0] == ["FIGURE", "VALUE"]
    assert ["files", "3"] in lines
    assert ["logical", "bytes", str(logical)] in lines


def test_clean_keeps_what_is_in_its_grace(filled: Store, command: Command) -> None:
    filled.delete("d")
    result = command("dedup clean", filled.environ)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("deleted 0 objects")
    assert filled.stored(b"other") == b"other"
    result = command("dedup clean --dry-run --grace 0", filled.environ)
    assert result.stdout.startswith("to delete: 0 objects known as garbage")
    assert "in their grace or not: 1" in result.stdout
    assert filled.stored(b"other") == b"other"


def test_clean_deletes_what_no_file_has(filled: Store, command: Command) -> None:
    filled.delete("d")
    filled.delete("a/b")  # its content has another file
    filled.execute("UPDATE blobs SET orphaned_at = 0 WHERE orphaned_at IS NOT NULL")
    result = command("dedup clean --grace 0", filled.environ)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("deleted 1 objects; 1 contents had no file any more")
    assert filled.stored(b"other") is None
    assert filled.stored(DATA) == DATA


def test_clean_and_verify_tell_what_is_missing(filled: Store, command: Command) -> None:
    assert filled.buckets.request("DELETE", f"/{BUCKET}/{filled.key(DATA)}")[0] == 204
    for name in ("clean", "verify"):
        result = command(f"dedup {name}", filled.environ)
        assert result.exit_code == 1
        assert hashlib.sha256(DATA).hexdigest() in result.stdout
        assert "1" in result.stdout
        assert "missing" in result.stdout


def test_verify(filled: Store, command: Command) -> None:
    result = command("dedup verify", filled.environ)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 contents read, ")
    filled.buckets.put(BUCKET, filled.key(DATA), gzip.compress(b"damaged"))
    result = command("dedup verify --parallel 1", filled.environ)
    assert result.exit_code == 1
    assert "1 damaged" in result.stdout
    assert command("dedup verify --sample 0", filled.environ).exit_code == 2


def test_verify_tells_of_the_database_and_mends_it(filled: Store, command: Command) -> None:
    filled.execute("UPDATE blobs SET orphaned_at = 5")
    filled.execute(f"INSERT INTO garbage (key) VALUES ('{filled.key(DATA)}')")
    result = command("dedup verify", filled.environ)
    assert result.exit_code == 1
    assert (
        "wrong in the database: blobs are marked orphans and have files: 2;"
        " parparchik dedup verify --mend sets that right" in result.stdout
    )
    assert "keys are in use and garbage: 1" in result.stdout
    result = command("dedup verify --mend", filled.environ)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("3 things were wrong in the database, and are mended")
    assert command("dedup clean --grace 0", filled.environ).exit_code == 0
    assert filled.stored(DATA) == DATA


def test_what_cannot_be_mended_is_told(filled: Store, command: Command) -> None:
    filled.execute("INSERT INTO files SELECT 'd/below', 1, id FROM blobs LIMIT 1")
    for arguments in ("dedup verify", "dedup verify --mend"):
        result = command(arguments, filled.environ)
        assert result.exit_code == 1
        assert "files lie below another file: 1; restore a backup" in result.stdout


def test_what_is_missing_is_stored_anew_and_sound_again(filled: Store, command: Command) -> None:
    assert filled.buckets.request("DELETE", f"/{BUCKET}/{filled.key(DATA)}")[0] == 204
    result = command("dedup verify", filled.environ)
    assert "is stored anew when the same content is uploaded again" in result.stdout
    assert json.loads(command("dedup stats --json", filled.environ).stdout)["lost"] == 1
    filled.put("elsewhere", DATA)
    assert command("dedup verify", filled.environ).exit_code == 0
    figures = json.loads(command("dedup stats --json", filled.environ).stdout)
    assert (figures["files"], figures["lost"]) == (4, 0)


def test_what_was_deleted_is_in_the_backup(filled: Store, command: Command) -> None:
    filled.execute("INSERT INTO tombstones VALUES ('gone', 7)")
    backup = filled.directory / "backup.jsonl"
    assert command(f"dedup export {backup}", filled.environ).stderr == (
        "3 files exported, 1 tombstones\n"
    )
    assert json.loads(backup.read_bytes().splitlines()[-2]) == {
        "path": "gone", "version": 7, "deleted": True,
    }  # fmt: skip
    for left in filled.directory.glob("files.db*"):
        left.unlink()
    result = command(f"dedup import {backup}", filled.environ)
    assert result.stdout.startswith("3 files imported, 1 tombstones, 0 were there")


def test_export_and_import(filled: Store, command: Command) -> None:
    backup = filled.directory / "backup.jsonl"
    result = command(f"dedup export {backup}", filled.environ)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "3 files exported, 0 tombstones\n"
    lines = backup.read_bytes().splitlines()
    assert [json.loads(line)["path"] for line in lines[1:-1]] == ["a/b", "a/c", "d"]
    for left in filled.directory.glob("files.db*"):
        left.unlink()
    result = command(f"dedup import {backup}", filled.environ)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("3 files imported, 0 tombstones, 0 were there")
    assert json.loads(command("dedup stats --json", filled.environ).stdout)["files"] == 3
    assert command("dedup verify", filled.environ).exit_code == 0


def test_an_export_that_fails_leaves_the_last_one(filled: Store, command: Command) -> None:
    backup = filled.directory / "backup.jsonl"
    assert command(f"dedup export {backup}", filled.environ).exit_code == 0
    backup.chmod(0o640)
    (filled.directory / "link").symlink_to(backup)
    before = backup.read_bytes()
    assert command(f"dedup export {filled.directory}/link", filled.environ).exit_code == 0
    assert (backup.read_bytes(), backup.stat().st_mode & 0o777) == (before, 0o640)
    with closing(sqlite3.connect(filled.directory / "files.db")) as connection, connection:
        connection.execute("DROP TABLE tombstones")  # all files are written by then
    assert command(f"dedup export {backup}", filled.environ).exit_code == 1
    assert backup.read_bytes() == before
    assert [path.name for path in filled.directory.glob("*.part")] == []


def test_a_part_of_an_export(filled: Store, command: Command) -> None:
    backup = filled.directory / "backup.jsonl"
    command(f"dedup export {backup}", filled.environ)
    backup.write_bytes(b"".join(backup.read_bytes().splitlines(keepends=True)[:-2]))
    result = command(f"dedup import {backup}", filled.environ)
    assert result.exit_code == 1
    assert result.stdout.startswith("2 files imported, ")
    assert "the export is not whole" in result.stdout


def test_import_of_what_is_none(store: Store, command: Command) -> None:
    (store.directory / "junk").write_text("junk\n")
    result = command(f"dedup import {store.directory}/junk", store.environ)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    result = command(f"dedup import {store.directory}/none", store.environ)
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "arguments", ["clean", "verify", "stats", "export", "import x", "migrate --from http://h"]
)
def test_without_a_store(command: Command, buckets: Buckets, arguments: str) -> None:
    result = command(f"dedup {arguments}", buckets.environ)
    assert result.exit_code == 2
    assert result.stderr == ("parparchik: there is no dedup store: set PARPARCHIK_DEDUP_BUCKET\n")


def test_a_database_in_a_directory_that_is_none(store: Store, command: Command) -> None:
    store.environ["PARPARCHIK_DEDUP_METADATA"] = "sqlite:////nowhere/at/all/files.db"
    for arguments in ("dedup stats", "serve --port 0"):
        result = command(arguments, store.environ)
        assert result.exit_code == 2
        assert "PARPARCHIK_DEDUP_METADATA: the directory /nowhere/at/all does not exist" in (
            result.stderr
        )


def test_a_spool_in_a_directory_that_is_none(store: Store, command: Command) -> None:
    store.environ["PARPARCHIK_DEDUP_SPOOL_DIR"] = "/nowhere/at/all"
    result = command("dedup stats", store.environ)
    assert result.exit_code == 2
    assert "PARPARCHIK_DEDUP_SPOOL_DIR: /nowhere/at/all is no directory" in result.stderr


async def test_a_password_is_not_shown() -> None:
    server = FiletrackerServer("http://user:hunter2@host")
    assert "hunter2" not in repr(server)
