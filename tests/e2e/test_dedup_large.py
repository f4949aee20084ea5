"""Large files through a real process: the right bytes, and no more than 32 MiB of memory each way,
while others ask it for small ones. With LARGE_FILES=1 large means 2 GiB."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.byte_groups import until
from tests.e2e.dedup_group import DedupGroup, dedup_group
from tests.e2e.dedup_s3 import DedupS3, dedup_s3

SIZE_BYTES = (2048 if os.environ.get("LARGE_FILES") else 96) << 20
CEILING_MIB = 32
PIECE_BYTES = 1 << 20
PATIENCE_S = 600.0
NOISE = os.urandom(PIECE_BYTES)
TARGET = "/ft/files/large?last_modified=" + quote("Thu, 01 Jan 2026 00:00:00 GMT")


def noise() -> Iterator[bytes]:
    """What gzip does not make smaller: whatever comes again is further away than it looks."""
    for number in range(SIZE_BYTES // PIECE_BYTES):
        at = number % 977
        yield NOISE[at:] + NOISE[:at]


def text() -> Iterator[bytes]:
    for number in range(SIZE_BYTES // PIECE_BYTES):
        yield (b"line %08d of a text\n" % number * (PIECE_BYTES // 23))[:PIECE_BYTES].ljust(
            PIECE_BYTES
        )


CONTENTS = {"noise": noise, "text": text}


class Memory:
    """Of a process, in MiB: how far it grows beyond what it had."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._read("VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew

    def _read(self, name: str) -> float:
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        (found,) = [line for line in lines if line.startswith(name)]
        return int(found.split()[1]) / 1024

    @property
    def growth(self) -> float:
        return self._read("VmHWM") - self._before


class Others:
    """Clients that put and get small files meanwhile."""

    def __init__(self, group: DedupGroup) -> None:
        self._group = group
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(3)]
        self.wrong: list[object] = []

    def _ask(self, number: int) -> None:
        version_s = 1000
        while not self._over.is_set():
            version_s += 1
            data = b"%d" % version_s * 3000
            self._group.change("PUT", f"small/{number}", version_s, data)
            if (got := self._group.content(f"small/{number}")) != data:
                self.wrong.append(got)

    def __enter__(self) -> Others:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def put(group: DedupGroup, pieces: Iterator[bytes], headers: dict[str, str]) -> int:
    connection = HTTPConnection(group.url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request("PUT", TARGET, pieces, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def get(group: DedupGroup, coding: str) -> str:
    """The digest of the content that came."""
    connection = HTTPConnection(group.url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request("GET", "/ft/files/large", headers={"Accept-Encoding": coding})
        response = connection.getresponse()
        assert (response.status, response.getheader("Content-Encoding", "identity")) == (
            200,
            coding,
        )
        digest = hashlib.sha256()
        inflate = zlib.decompressobj(31) if coding == "gzip" else None
        while piece := response.read(PIECE_BYTES):
            while inflate is not None and piece:
                digest.update(inflate.decompress(piece, PIECE_BYTES))
                piece = inflate.unconsumed_tail
            digest.update(piece)
        return digest.hexdigest()
    finally:
        connection.close()


def read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece


def packed(content: Iterator[bytes], file: Path) -> str:
    """Written as gzip; the content's digest."""
    digest = hashlib.sha256()
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    with file.open("wb") as opened:
        for piece in content:
            digest.update(piece)
            opened.write(deflate.compress(piece))
        opened.write(deflate.flush())
    return digest.hexdigest()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[DedupS3]:
    with dedup_s3(tmp_path / "s3") as s3:
        yield s3
    # pytest would keep it for a while.
    shutil.rmtree(tmp_path / "s3")
    (tmp_path / "packed").unlink()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("sent", ["gzip", "plain"])
def test_a_large_file_comes_and_goes(s3: DedupS3, tmp_path: Path, sent: str, content: str) -> None:
    digest = packed(CONTENTS[content](), tmp_path / "packed")
    more = {
        "PARPARCHIK_DEDUP_SPOOL_DIR": str(tmp_path),
        "PARPARCHIK_DEDUP_COMPRESSION_LEVEL": "1",
    }
    with dedup_group(s3, f"sqlite:///{tmp_path}/files.db", more=more) as group:
        group.change("PUT", "warm", 1000, b"w" * 100_000)
        group.content("warm")
        with Others(group) as others:
            memory = Memory(group.pid)
            if sent == "gzip":  # as filetracker's client does
                pieces = read(tmp_path / "packed")
                headers = {
                    "Content-Encoding": "gzip",
                    "Content-Length": str((tmp_path / "packed").stat().st_size),
                    "SHA256-Checksum": digest,
                    "Logical-Size": str(SIZE_BYTES),
                }
            else:
                pieces, headers = CONTENTS[content](), {"Content-Length": str(SIZE_BYTES)}
            assert put(group, pieces, headers) == 200, group.program.output
            assert memory.growth <= CEILING_MIB
            for coding in ("gzip", "identity"):
                memory = Memory(group.pid)
                assert get(group, coding) == digest
                assert memory.growth <= CEILING_MIB
        assert others.wrong == []
        assert s3.uploads == {}
        until(lambda: group.metrics()["receiving"] == 0)
