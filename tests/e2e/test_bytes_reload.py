"""Objects served while settings change, while others want the same directory, and at the end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from tests.e2e.byte_groups import DEADLINE_S, Group, environ_of, group, until
from tests.e2e.bytes_s3 import BytesS3, bytes_s3
from tests.plain_http import NO_TLS

MEBI = 1 << 20


@pytest.fixture
def s3() -> Iterator[BytesS3]:
    with bytes_s3() as s3:
        yield s3


@dataclass
class Settings:
    """A file that is read again at SIGHUP."""

    file: Path
    cache: Path

    def write(self, ttl_s: int = 300, cache: Path | None = None) -> None:
        directory = cache or self.cache
        self.file.write_text(f'[cache]\nttl = {ttl_s}\ndirectory = "{directory}"\n')

    def change(self, running: Group, ttl_s: int, cache: Path | None = None) -> None:
        """Returns when they are in force."""
        self.write(ttl_s, cache)
        running.program.process.send_signal(signal.SIGHUP)
        running.program.wait_for('"settings changed"')


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(tmp_path / "settings.toml", tmp_path / "cache")
    made.write()
    return made


@pytest.fixture(params=[1, 2])
def servers(s3: BytesS3, settings: Settings, request: pytest.FixtureRequest) -> Iterator[Group]:
    with group(s3, request.param, "--config", str(settings.file)) as running:
        yield running


def complaints(running: Group) -> list[str]:
    lines = running.program.output.splitlines()
    bad = ('"level":"error"', '"level": "error"', "Traceback", "crashed")
    return [line for line in lines if any(each in line for each in bad)]


def read_in(running: Group) -> int:
    """How many disk caches have found what was there."""
    return running.program.output.count('"disk cache: read in"')


def saved(running: Group, count: int) -> bool:
    """Whether so many pieces are on disk."""
    entries = running.figures("/cache/stats")["entries"]
    assert isinstance(entries, dict)
    return bool(entries["disk"] >= count)


def test_what_is_on_disk_is_there_for_the_next(
    servers: Group, s3: BytesS3, settings: Settings
) -> None:
    s3.put("page", b"kept")
    servers.known_by_all("page")
    fetched = len(s3.gets("page"))
    until(lambda: saved(servers, servers.workers))
    for change in (1, 2):
        settings.change(servers, 300 + change)
        until(
            lambda: read_in(servers) == (1 + change) * servers.workers,  # noqa: B023
            lambda: servers.program.output,
        )
        servers.known_by_all("page")
    assert len(s3.gets("page")) == fetched
    assert servers.put("page", b"new").status_code == 200
    assert {servers.get("page").content for _ in range(20)} == {b"new"}
    settings.change(servers, 303)
    assert {servers.get("page").content for _ in range(20)} == {b"new"}
    assert complaints(servers) == []


def test_a_write_while_settings_change(servers: Group, s3: BytesS3, settings: Settings) -> None:
    """Whether the new cache has the directory yet or not."""
    s3.put("page", b"0")
    servers.known_by_all("page")
    until(lambda: saved(servers, servers.workers))
    old: list[tuple[int, bytes]] = []
    over = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not over.is_set():
            if servers.put("page", b"%d" % (written + 1)).status_code == 200:
                written += 1

    def read() -> None:
        while not over.is_set():
            least = written
            content = servers.get("page").content
            if int(content) < least:
                old.append((least, content))

    threads = [threading.Thread(target=each) for each in (write, read, read)]
    for thread in threads:
        thread.start()
    try:
        for ttl_s in (301, 302, 303):
            settings.change(servers, ttl_s)
            time.sleep(0.5)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert old == []
    assert written > 3
    assert complaints(servers) == []


def test_an_upload_that_was_begun_before(servers: Group, s3: BytesS3, settings: Settings) -> None:
    """It ends with the application before; the one that answers by then has read the old object."""
    s3.put("page", b"old")
    servers.known_by_all("page")
    where = urlsplit(servers.url_of("page"))
    with socket.create_connection((where.hostname or "", where.port or 0)) as upload:
        upload.settimeout(DEADLINE_S)
        upload.sendall(
            f"PUT {where.path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345".encode()
        )
        time.sleep(0.3)
        settings.change(servers, 301)
        assert {servers.get("page").content for _ in range(20)} == {b"old"}
        upload.sendall(b"67890")
        assert upload.recv(65_536).startswith(b"HTTP/1.1 200")
        assert {servers.get("page").content for _ in range(20)} == {b"1234567890"}


def test_a_directory_that_is_left_is_not_believed_later(
    servers: Group, s3: BytesS3, settings: Settings, tmp_path: Path
) -> None:
    s3.put("page", b"old")
    servers.known_by_all("page")
    until(lambda: saved(servers, servers.workers))
    settings.change(servers, 300, tmp_path / "other")
    assert servers.put("page", b"new").status_code == 200
    time.sleep(1)
    settings.change(servers, 300)
    until(lambda: read_in(servers) == 3 * servers.workers, lambda: servers.program.output)
    assert {servers.get("page").content for _ in range(20)} == {b"new"}
    assert complaints(servers) == []


# -- whose directory it is ------------------------------------------------------------------------


def refused(s3: BytesS3, workers: int, cache: Path) -> str:
    """What a server says that cannot have its directory."""
    said = subprocess.run(
        [sys.executable, "-m", "parparchik", "serve"],
        env={**environ_of(s3, workers), "PARPARCHIK_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert said.returncode == 2, said.stderr
    assert "listening" not in said.stderr
    return said.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_directory_that_is_not_ours(s3: BytesS3, workers: int, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("all of it")
    assert "not a cache's" in refused(s3, workers, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_directory_that_another_server_uses(
    servers: Group, s3: BytesS3, settings: Settings
) -> None:
    s3.put("page", b"kept")
    servers.known_by_all("page")
    for workers in (1, 2):
        assert "another process uses it" in refused(s3, workers, settings.cache)
    servers.known_by_all("page")


def test_another_number_of_workers(s3: BytesS3, tmp_path: Path) -> None:
    """What lies where nobody has been told of changes is not believed, and deleted."""
    cache = tmp_path / "cache"
    versions = iter(range(100))
    version = next(versions)
    s3.put("page", b"%d" % version)
    for workers in (3, 2, 1, 3):
        with group(s3, workers, PARPARCHIK_CACHE_DIR=str(cache)) as running:
            running.known_by_all("page")
            until(lambda: saved(running, workers))  # noqa: B023
            assert {running.get("page").content for _ in range(10)} == {b"%d" % version}
            version = next(versions)
            assert running.put("page", b"%d" % version).status_code == 200
            running.known_by_all("page")
            until(lambda: saved(running, workers))  # noqa: B023
            assert complaints(running) == []
            running.end()
        parts = {each.name for each in cache.glob("worker-*")}
        assert parts == ({f"worker-{n + 1}" for n in range(workers)} if workers > 1 else set())
        own = [each for each in cache.iterdir() if len(each.name) == 2]
        assert bool(own) == (workers == 1)
        assert list((cache / "tmp").iterdir()) == []


# -- the end --------------------------------------------------------------------------------------


@contextmanager
def body_of(running: Group, key: str) -> Iterator[Iterator[bytes]]:
    with httpx.stream("GET", running.url_of(key), timeout=DEADLINE_S, verify=NO_TLS) as answer:
        assert answer.status_code == 200
        yield answer.iter_raw()


def test_the_end_while_bytes_flow(servers: Group, s3: BytesS3) -> None:
    """Whoever is being answered gets all of it; nothing fails on the way out."""
    s3.put("large", b"x" * (12 * MEBI))
    s3.put("page", b"kept")
    servers.known_by_all("page")
    s3.rate = 4 * MEBI
    with ExitStack() as stack:
        bodies = [stack.enter_context(body_of(servers, "large")) for _ in range(3)]
        received = [len(next(body)) for body in bodies]
        servers.program.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        for begun, body in zip(received, bodies, strict=True):
            assert begun + sum(map(len, body)) == 12 * MEBI
    assert servers.program.wait() == 0
    assert time.monotonic() - began_s < 20
    assert complaints(servers) == []
    lines = [msgspec.json.decode(line) for line in servers.program.output.splitlines()]
    assert lines[-1]["event"] == "stopped"


def test_the_end_when_it_takes_too_long(s3: BytesS3, tmp_path: Path) -> None:
    """A transfer longer than the grace is cut, and that is all."""
    s3.put("large", b"x" * (12 * MEBI))
    s3.rate = 1 * MEBI
    more = {"PARPARCHIK_SHUTDOWN_GRACE": "1", "PARPARCHIK_CACHE_DIR": str(tmp_path / "cache")}
    for workers in (1, 2):
        with group(s3, workers, **more) as running:
            with body_of(running, "large") as body:
                next(body)
                began_s = time.monotonic()
                running.program.process.send_signal(signal.SIGTERM)
                with pytest.raises(httpx.TransportError):
                    sum(map(len, body))
            assert running.program.wait() == 0
            assert time.monotonic() - began_s < 8
            assert complaints(running) == []
