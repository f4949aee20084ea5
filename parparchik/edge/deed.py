"""What is neither asked for with GET nor with HEAD, where its body is small and has come whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from parparchik.model import Answer, Request, Unfinished, Upload

Do = Callable[[Upload], Awaitable[Answer]]
"""Do what a request wants."""

Act = Callable[[Request], Do | None]
"""What any request but GET and HEAD wants; None where somebody else has to answer."""


def nobody_acts(request: Request) -> Do | None:
    return None


class Deed:
    """A `Question` that is asked once, when it has been given its body. `length` is what
    Content-Length says, None where there is none."""

    __slots__ = ("_body", "_do", "_length", "body_bytes")

    def __init__(self, do: Do, length: int | None) -> None:
        self._do = do
        self._length = length
        self._body = b""
        self.body_bytes = length or 0

    def take(self, body: bytes) -> None:
        self._body = body

    def answer_nowait(self) -> Answer | None:
        return None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        return await self._do(WholeBody(self._body, self._length))


class WholeBody:
    """`model.Upload` of a body that has come."""

    __slots__ = ("_body", "_length")

    def __init__(self, body: bytes, length: int | None) -> None:
        self._body = body
        self._length = length

    @property
    def size_bytes(self) -> int | None:
        return self._length

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body
