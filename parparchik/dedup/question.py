"""GET and HEAD, understood: asked again and again as the same request comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from parparchik.dedup.answers import failure
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Unfinished


def _nothing_at_hand() -> None:
    return None


class Asked:
    """`model.Question` that the metadata store is asked for, each time anew, where `at_hand` has no
    answer."""

    __slots__ = ("_ask", "answer_nowait")

    def __init__(
        self,
        ask: Callable[[], Awaitable[Answer]],
        at_hand: Callable[[], Answer | None] = _nothing_at_hand,
    ) -> None:
        self._ask = ask
        self.answer_nowait = at_hand

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        try:
            return await self._ask()
        except ParparchikError as error:
            return failure(error)
