"""GET and HEAD of an object, understood: asked again and again as the same request comes."""

from __future__ import annotations

from collections.abc import Callable

from parparchik.model import Answer, Question, Unfinished
from parparchik.objects.statistics import Tally


class Counted:
    """A question whose answers are counted as they are given."""

    __slots__ = ("_answer_nowait", "_question", "_tally")

    def __init__(self, question: Question, tally: Tally) -> None:
        self._question = question
        self._answer_nowait = question.answer_nowait
        self._tally = tally

    def answer_nowait(self) -> Answer | None:
        answer = self._answer_nowait()
        if answer is not None:
            self._tally.count += 1
        return answer

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        self._tally.count += 1
        return await self._question.answer()
