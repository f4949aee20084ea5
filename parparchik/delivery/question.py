"""A request whose URL is the one object that can answer it."""

from __future__ import annotations

from collections.abc import Callable

from parparchik.cache import Absent
from parparchik.delivery.deliverer import Deliverer
from parparchik.delivery.types import Serving
from parparchik.delivery.wishes import read_wishes
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Request, Unfinished


class ObjectQuestion:
    """`model.Question`. `absent` is the answer where there is no such object, `failed` makes the
    one that an error of S3's is. Keeps no answer and nothing of the request but its wishes."""

    __slots__ = ("_absent", "_deliverer", "_failed", "_serving", "_wishes")

    def __init__(
        self,
        deliverer: Deliverer,
        request: Request,
        serving: Serving,
        *,
        absent: Answer,
        failed: Callable[[ParparchikError], Answer],
    ) -> None:
        self._deliverer = deliverer
        self._wishes = read_wishes(request)
        self._serving = serving
        self._absent = absent
        self._failed = failed

    def answer_nowait(self) -> Answer | None:
        answer = self._deliverer.look(self._wishes, self._serving)
        return self._absent if isinstance(answer, Absent) else answer

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        try:
            answer = await self._deliverer.find(self._wishes, self._serving)
        except ParparchikError as error:
            return self._failed(error)
        return self._absent if isinstance(answer, Absent) else answer
