"""A question that has been answered by being understood."""

from __future__ import annotations

from collections.abc import Callable

from parparchik.model import Answer, Unfinished


class Settled:
    """`model.Question` whose answer nothing will change."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def answer_nowait(self) -> Answer:
        return self._answer

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        return self._answer
