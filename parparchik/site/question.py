"""A request to a site that has been understood."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from parparchik.cache import Status
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Headers, Request, Unfinished
from parparchik.site import pages
from parparchik.site.accept import prefers_json
from parparchik.site.taking import NOTHING_THERE, Taken


class SiteQuestion:
    """`model.Question` that takes one step after the other. Nearly always the first is the answer,
    so the others are made when they are needed. `headers` are those of what the site says itself;
    the steps know theirs."""

    __slots__ = ("_first", "_headers", "_missing", "_request", "_rest", "_steps")

    def __init__(self, request: Request, steps: Iterator[Taken], headers: Headers) -> None:
        self._request = request
        self._steps = steps
        self._first = next(steps, NOTHING_THERE)
        self._rest: tuple[Taken, ...] | None = None
        self._headers = headers
        self._missing: dict[Status, Answer] = {}

    def answer_nowait(self) -> Answer | None:
        answer = self._first.answer_nowait()
        if answer is None or type(answer) is Answer:
            return answer
        for step in self._steps_after():
            answer = step.answer_nowait()
            if answer is None or type(answer) is Answer:
                return answer
        return self._missing_answer("HIT")

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        status: Status = "HIT"
        try:
            for step in (self._first, *self._steps_after()):
                answer = await step.answer()
                if isinstance(answer, Answer):
                    return answer
                if answer.status != "HIT":
                    status = answer.status
        except ParparchikError as error:
            return pages.failure(error, as_json=prefers_json(self._request), headers=self._headers)
        return self._missing_answer(status)

    def _steps_after(self) -> tuple[Taken, ...]:
        if self._rest is None:
            self._rest = tuple(self._steps)
        return self._rest

    def _missing_answer(self, status: Status) -> Answer:
        if (answer := self._missing.get(status)) is None:
            answer = self._missing[status] = pages.problem(
                404,
                "there is no such page",
                as_json=prefers_json(self._request),
                headers=(*self._headers, (b"x-cache", status.encode())),
            )
        return answer
