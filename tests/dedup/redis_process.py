"""A redis-server of the machine's own, on a free port, with its files in a directory of ours."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")
PATIENCE_S = 20.0


def need_redis() -> str:
    if BINARY is None:
        if os.environ.get("PARPARCHIK_REQUIRE_REDIS"):
            pytest.fail("PARPARCHIK_REQUIRE_REDIS is set and there is no redis-server")
        pytest.skip("needs redis-server (Debian: redis-server)")
    return BINARY


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RedisProcess:
    """`start` and `stop` as often as you like: what it wrote is kept."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.attempts = 0
        self.started = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        while not self._is_started():
            assert not self.started, "redis-server has ended"
            self.attempts += 1
            assert self.attempts < 5, "redis-server does not start"
            self.port = free_port()  # somebody else took it
        self.started = True

    def _is_started(self) -> bool:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                need_redis(),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)),
                *("--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0"),
                *self.options,
            ],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            try:
                if self.ask("PING").startswith(("+PONG", "-NOAUTH")):
                    return True
            except OSError:
                pass
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)
        return False

    def kill(self) -> None:
        """As when the machine loses it: nothing is written any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ask(self, *words: str) -> str:
        """The first line of the answer, or of a text its second."""
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            parts.append(f"${len(word.encode())}\r\n{word}\r\n".encode())
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"".join(parts))
            with sock.makefile("rb") as answer:
                line = answer.readline().decode().rstrip("\r\n")
                if line.startswith("$") and line != "$-1":
                    return answer.read(int(line[1:])).decode()
                return line


_shared: list[tuple[RedisProcess, tempfile.TemporaryDirectory[str]]] = []


def shared_redis() -> RedisProcess:
    """One for all tests that begin by emptying it, started when the first one asks."""
    if not _shared:
        need_redis()
        directory = tempfile.TemporaryDirectory()
        server = RedisProcess(Path(directory.name), "--appendfsync", "no")
        server.start()
        _shared.append((server, directory))
    return _shared[0][0]


def end_shared_redis() -> None:
    while _shared:
        server, directory = _shared.pop()
        server.kill()
        directory.cleanup()
