"""The program as a process of its own, read line by line."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE_S = 30.0


class Program:
    """A running `parparchik`. What it writes on both outputs is in `output` in the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, text: str) -> str:
        """The next line that has `text`."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                line = None
            assert line is not None, f"it has not said {text!r}:\n{self.output}"
            if text in line:
                return line

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code


@contextmanager
def program(*arguments: str, environ: dict[str, str] | None = None) -> Iterator[Program]:
    """Starts `parparchik *arguments` with this process's environment and `environ`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "parparchik", *arguments],
        env={**os.environ, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Program(process)
    try:
        yield running
    finally:
        process.kill()
        running.wait()
        assert process.stdout is not None
        process.stdout.close()
