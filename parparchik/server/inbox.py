"""What has come of a request's body and has not been taken yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio


class Inbox:
    """A place of its own for each HTTP/2 stream, since what one app does not take must not keep the
    frames of others waiting. It is bounded by the window that the client was granted for the
    stream: `taken` is told how many bytes may be added to that.

    `untouched`: nothing has come.
    """

    def __init__(self, taken: Callable[[int], Awaitable[None]]) -> None:
        self.untouched = True
        self._taken = taken
        self._data = bytearray()
        self._ended = self._told = self._closed = False
        self._news = trio.lowlevel.ParkingLot()

    def put(self, data: bytes) -> None:
        self.untouched = False
        self._data += data
        self._news.unpark_all()

    def end(self) -> None:
        """That was all."""
        self.untouched = False
        self._ended = True
        self._news.unpark_all()

    def close(self) -> None:
        """The stream is closed, by whichever side."""
        self._closed = True
        self._news.unpark_all()

    async def receive(self) -> dict[str, Any]:
        """ASGI's `receive`."""
        while not (self._closed or self._data or (self._ended and not self._told)):
            await self._news.park()
        if self._closed:
            return {"type": "http.disconnect"}
        data, self._data = bytes(self._data), bytearray()
        self._told = self._ended
        if data and not self._ended:
            await self._taken(len(data))
        return {"type": "http.request", "body": data, "more_body": not self._told}
