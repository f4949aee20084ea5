"""A server as a process of ours: start, wait until it answers, read what it uses, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import trio

from bench.processes import pinned

START_S = 300.0  # with a million entries to compare
END_S = 15.0
_TICK_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class StartFailed(Exception):
    """A server did not start; the message has the end of what it wrote."""


class Running:
    """A started process and its descendants."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_s(self) -> float:
        """Processor time used so far, in the kernel and out of it (proc(5), stat)."""
        return sum(_stat(pid)[0] for pid in self._family())

    def resident_bytes(self) -> int:
        return sum(_stat(pid)[1] for pid in self._family())

    def check(self) -> None:
        """Raises StartFailed when it has ended."""
        if self.process.poll() is not None:
            raise StartFailed(f"it ended with {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:].strip()

    def _family(self) -> list[int]:
        parents: dict[int, int] = {}
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                try:
                    parents[int(entry)] = int(_fields(int(entry))[1])
                except OSError:
                    continue  # ended meanwhile
        family = [self.pid]
        for member in family:
            family += [pid for pid, parent in parents.items() if parent == member]
        return family


def _fields(pid: int) -> list[str]:
    """From the third field of /proc/pid/stat on: the second may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _stat(pid: int) -> tuple[float, int]:
    """(CPU seconds, resident bytes); of a process that has ended, nothing."""
    try:
        fields = _fields(pid)
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / _TICK_S, int(fields[21]) * _PAGE_BYTES


@asynccontextmanager
async def start(
    argv: Sequence[str], env: Mapping[str, str], processors: Sequence[int] = ()
) -> AsyncIterator[Running]:
    """The process for as long as the block lasts; then SIGTERM, and SIGKILL for who ignores it.
    Its standard input stays open that long; what it writes goes to a file."""
    with tempfile.NamedTemporaryFile(prefix="parparchik-bench-") as log:
        process = await trio.lowlevel.open_process(
            pinned(argv, processors),
            stdin=subprocess.PIPE,
            stdout=log.fileno(),
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,  # Ctrl-C is for us, who will end it
        )
        try:
            yield Running(process, Path(log.name))
        finally:
            with trio.CancelScope(shield=True):
                await _end(process)


async def _end(process: trio.Process) -> None:
    if process.stdin is not None:
        await process.stdin.aclose()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with trio.move_on_after(END_S):
        await process.wait()
    if process.poll() is None:
        process.kill()
        await process.wait()
    # What it has started and not ended: the session is its own, and so is the group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    """(status, body) of one request to 127.0.0.1; status 0 where nobody answers."""

    def exchange() -> tuple[int, bytes]:
        connection = (
            HTTPConnection("127.0.0.1", port, timeout=30)
            if tls is None
            else HTTPSConnection("127.0.0.1", port, timeout=30, context=tls)
        )
        try:
            connection.request(method, path, body or None)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            return 0, b""
        finally:
            connection.close()

    return await trio.to_thread.run_sync(exchange)


async def wait_until(running: Running, port: int, path: str, *, pause_s: float = 0.05) -> None:
    """Returns when GET `path` is answered 200. Raises StartFailed."""
    with trio.move_on_after(START_S):
        while (await ask(port, path))[0] != 200:
            running.check()
            await trio.sleep(pause_s)
        return
    raise StartFailed(f"{path} was not 200 within {START_S:g} s: {running.last_words()}")
