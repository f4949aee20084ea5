"""The body of a request that is read by whoever has a use for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from parparchik.errors import ClientGone, TooSlow
from parparchik.model import Headers
from parparchik.web.protocols import Receive, Scope

CONTINUE = "parparchik.continue"
"""The ASGI extension by which a server is told to ask for the body, where the client waits for
that (`Expect: 100-continue`): an async callable without arguments. Receiving alone does not ask."""

GoAhead = Callable[[], Awaitable[None]]


async def _nobody_waits() -> None:
    """The client sends its body unasked."""


def go_ahead_of(scope: Scope) -> GoAhead:
    asks: GoAhead = scope.get("extensions", {}).get(CONTINUE, _nobody_waits)
    return asks


class RequestBody:
    """`model.Upload` over ASGI. `at_end`: nothing is left of it to read. `timeout_s` is how long
    may pass without a byte."""

    def __init__(
        self, receive: Receive, go_ahead: GoAhead, headers: Headers, *, timeout_s: float
    ) -> None:
        self.at_end = False
        self._receive = receive
        self._go_ahead: GoAhead | None = go_ahead
        self._timeout_s = timeout_s
        self._gone = False
        lengths = [int(value) for name, value in headers if name == b"content-length"]
        self._size_bytes = lengths[0] if lengths else None

    @property
    def size_bytes(self) -> int | None:
        return self._size_bytes

    async def read(self) -> bytes:
        if self._go_ahead is not None:
            go_ahead, self._go_ahead = self._go_ahead, None
            await go_ahead()
        while not self.at_end:
            with trio.move_on_after(self._timeout_s) as patience:
                piece = await self._next()
            if patience.cancelled_caught:
                raise TooSlow("the body of the request does not come")
            if piece:
                return piece
        return b""

    async def _next(self) -> bytes:
        if self._gone:
            raise ClientGone("the client has left")
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            raise ClientGone("the client has left")
        self.at_end = not message["more_body"]
        return bytes(message["body"])
