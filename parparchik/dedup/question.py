"""GET and HEAD, understood: asked again and again as the same request comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from parparchik.dedup.answers import failure
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Unfinished


class Asked:
    """`model.Question` that the metadata store is asked for, each time anew."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._ask = ask

    def answer_nowait(self) -> None:
        return None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        try:
            return await self._ask()
        except ParparchikError as error:
            return failure(error)
