"""Whole answers, from the cache's objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from parparchik.cache import Absent, Cache, Coding, Found, Wanted
from parparchik.delivery.answers import Decision, Prepared, decide, prepare_answer
from parparchik.delivery.compressors import COMPRESSORS, Compress
from parparchik.delivery.remembered import Remembered
from parparchik.delivery.types import Serving
from parparchik.delivery.wishes import Wishes, read_wishes
from parparchik.model import Answer, Request

_REMEMBERED_BYTES = 16 << 20
_LONGEST_WISHES = 1024  # whoever sends more asks for memory, and nobody asks so again


class Deliverer:
    """`delivery.Delivery` on a cache.

    What is stored with a Content-Encoding goes out with it, also to clients that refuse it: it is
    the one representation that there is, and RFC 9110 section 12.5.3 makes it no more than a
    SHOULD to send another. Whoever stores objects coded has chosen that for all clients.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        compress_max_bytes: int,
        compressors: Mapping[Coding, Compress] = COMPRESSORS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._find_nowait = cache.find_nowait
        self._codings = tuple(compressors)
        self._compressors: dict[str, tuple[Coding, Compress]] = {
            coding: (coding, compress) for coding, compress in compressors.items()
        }
        self._compress_max_bytes = compress_max_bytes
        self._now = now
        self._remembered = Remembered(_REMEMBERED_BYTES)

    def answer_nowait(self, request: Request, serving: Serving) -> Answer | Absent | None:
        return self.look(read_wishes(request), serving)

    async def answer(self, request: Request, serving: Serving) -> Answer | Absent:
        return await self.find(read_wishes(request), serving)

    def look(self, wishes: Wishes, serving: Serving) -> Answer | Absent | None:
        """`answer_nowait`, the request read already."""
        found = self._find_nowait(serving.name, serving.policy)
        if found is None or isinstance(found, Absent):
            return found
        key = (wishes, serving)
        age_s = found.age_s
        prepared = self._remembered.get(key, found, age_s)
        if prepared is None:
            prepared = self._prepare_nowait(wishes, serving, found)
            if prepared is None:
                return None
            if wishes.text_size <= _LONGEST_WISHES:
                self._remembered.keep(key, found, age_s, prepared)
        return prepared.give_nowait()

    async def find(self, wishes: Wishes, serving: Serving) -> Answer | Absent:
        """`answer`, the request read already."""
        wanted = _first_wanted(wishes, serving)
        found = await self._cache.find(serving.name, serving.policy, wanted)
        if isinstance(found, Absent):
            return found
        decision = self._decide(wishes, serving, found)
        if wanted == "head" and self._lacks_bytes(found, decision):
            # What the object is and what of it is wanted are known now: S3 is asked for that
            # before the answer begins, and not when it is too late to say that there is a new one.
            spans = decision.plan.spans
            found = await self._cache.find(
                serving.name, serving.policy, spans[0] if spans else "whole"
            )
            if isinstance(found, Absent):
                return found
            decision = self._decide(wishes, serving, found)
        variant = None
        if decision.needs_variant:
            coding, compress = self._compressors[decision.plan.coding]
            variant = await self._cache.variant(found, coding, compress)
            if variant is None:
                decision = self._decide(wishes, serving, found, coded=False)
        return prepare_answer(
            wishes, serving, found, variant or found, decision=decision, now_s=self._now()
        ).give()

    def _lacks_bytes(self, found: Found, decision: Decision) -> bool:
        if decision.needs_variant:
            coding, _ = self._compressors[decision.plan.coding]
            variant = self._cache.variant_nowait(found, coding)
            if not isinstance(variant, Absent):
                return variant is None
        return decision.needs_body

    def _prepare_nowait(self, wishes: Wishes, serving: Serving, found: Found) -> Prepared | None:
        decision = self._decide(wishes, serving, found)
        source = found
        if decision.needs_variant:
            coding, _ = self._compressors[decision.plan.coding]
            variant = self._cache.variant_nowait(found, coding)
            if variant is None:
                return None
            if isinstance(variant, Absent):
                decision = self._decide(wishes, serving, found, coded=False)
            else:
                source = variant
        return prepare_answer(wishes, serving, found, source, decision=decision, now_s=self._now())

    def _decide(
        self, wishes: Wishes, serving: Serving, found: Found, *, coded: bool = True
    ) -> Decision:
        return decide(
            wishes,
            serving,
            found.representation,
            codings=self._codings,
            compress_max_bytes=self._compress_max_bytes,
            now_s=self._now(),
            coded=coded,
        )


def _first_wanted(wishes: Wishes, serving: Serving) -> Wanted:
    """What S3 is asked for where nothing is known of the object yet."""
    if wishes.head:
        return "head"
    if serving.status != 200:
        return "whole"
    if wishes.may_need_no_body:
        return "head"
    if wishes.ranges is None:
        return "whole"
    return wishes.only_span or "head"
