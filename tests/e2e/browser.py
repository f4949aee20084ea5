"""Chromium without a window, asked over a pipe (the DevTools protocol)."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it does not start as root otherwise
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--no-first-run",
    "--mute-audio",
    "--remote-debugging-pipe",
)

Message = dict[str, Any]


@dataclass
class Loaded:
    """A response that the browser got over the network, and whether it was all there."""

    url: str
    status: int
    mime_type: str
    headers: dict[str, str]


class Browser:
    """One window. `loaded` has every response since it was last cleared, `complaints` what the
    page's console said of errors."""

    def __init__(self, write_fd: int, read_fd: int) -> None:
        self._write_fd = write_fd
        self._read_fd = read_fd
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.loaded: list[Loaded] = []
        self.complaints: list[str] = []
        self._events: list[Message] = []

    def begin(self) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go there, and wait until all of the page is."""
        self._events.clear()
        failed = self._call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        self._wait_for_load(url)

    def click(self, expression: str) -> None:
        """Click the link that a JavaScript expression names, and wait for the next page."""
        self._events.clear()
        self.evaluate(f"({expression}).click()")
        self._wait_for_load(expression)

    def reload(self) -> None:
        """As F5 does: everything is asked for again, on condition that it has changed."""
        self._events.clear()
        self._call("Page.reload")
        self._wait_for_load("the same again")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise's, once it has one."""
        answer = self._call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def url(self) -> str:
        return str(self.evaluate("location.href"))

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, (self.url, self.loaded[-5:], self.complaints)
            time.sleep(0.02)

    def _wait_for_load(self, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not any(each["method"] == "Page.loadEventFired" for each in self._events):
            assert time.monotonic() < deadline, f"never loaded: {what}"
            self._note(self._receive())

    def _call(self, method: str, **arguments: Any) -> Message:
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write_fd, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: Message = answer["result"]
                return result
            self._note(answer)

    def _receive(self) -> Message:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read_fd], [], [], PATIENCE_S)
            assert ready, "the browser says nothing"
            data = os.read(self._read_fd, 1 << 20)
            assert data, "the browser has gone"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: Message = json.loads(message)
        return decoded

    def _note(self, event: Message) -> None:
        if "method" not in event:
            return
        self._events.append(event)
        given = event.get("params", {})
        if event["method"] == "Network.responseReceived":
            response = given["response"]
            self.loaded.append(
                Loaded(
                    response["url"],
                    response["status"],
                    response["mimeType"],
                    {name.lower(): value for name, value in response["headers"].items()},
                )
            )
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(given["exceptionDetails"].get("text")))
        elif event["method"] == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.complaints.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")


@contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `directory`. Fails where Chromium is missing: who calls
    decides whether that is a reason to skip."""
    program = shutil.which("chromium")
    assert program, "apt-get install chromium"
    commands_read, commands_write = os.pipe()
    answers_read, answers_write = os.pipe()
    command = [program, *_FLAGS, f"--user-data-dir={directory}", "about:blank"]
    # It reads from 3 and writes to 4. By their names: dash knows no descriptor of two digits.
    script = f'exec "$@" 3</dev/fd/{commands_read} 4>/dev/fd/{answers_write}'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", *command],
        pass_fds=(commands_read, answers_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_read)
    os.close(answers_write)
    try:
        window = Browser(commands_write, answers_read)
        window.begin()
        yield window
    finally:
        process.kill()
        process.wait()
        os.close(commands_write)
        os.close(answers_read)
