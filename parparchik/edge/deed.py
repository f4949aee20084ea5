"""What is neither asked for with GET nor with HEAD, where its body is small and has come whole."""

from __future__ import annotations

from collections.abc import Callable

from parparchik.model import Action, Answer, Request, Unfinished

Act = Callable[[Request], Action | None]
"""What any request but GET and HEAD wants; None where somebody else has to answer."""


def nobody_acts(request: Request) -> Action | None:
    return None


class Deed:
    """A `Question` that is asked once, when it has been given its body. `length` is what
    Content-Length says, None where there is none."""

    __slots__ = ("_action", "_body", "_length", "body_bytes")

    def __init__(self, action: Action, length: int | None) -> None:
        self._action = action
        self._length = length
        self._body = b""
        self.body_bytes = length or 0

    def take(self, body: bytes) -> None:
        self._body = body

    def answer_nowait(self) -> Answer | None:
        return None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        soon = self._action.soon
        return soon is not None and soon(WholeBody(self._body, self._length), then)

    async def answer(self) -> Answer:
        return await self._action.do(WholeBody(self._body, self._length))


class WholeBody:
    """`model.WholeUpload`; `size_bytes` is what was announced."""

    __slots__ = ("_rest", "data", "size_bytes")

    def __init__(self, data: bytes, size_bytes: int | None) -> None:
        self.data = self._rest = data
        self.size_bytes = size_bytes

    async def read(self) -> bytes:
        piece, self._rest = self._rest, b""
        return piece
