"""Files of routes whose bucket is served through us."""

from __future__ import annotations

from functools import partial

from parparchik.cache import Policy
from parparchik.content import ObjectName
from parparchik.delivery.deliverer import Deliverer
from parparchik.delivery.question import ObjectQuestion
from parparchik.delivery.types import Serving
from parparchik.model import Answer, Entry, Question, Request
from parparchik.routes import failure


class CachedRelay:
    """`routes.Relay`: the file, from the cache. `compress_min_bytes` as in a Serving."""

    def __init__(
        self, deliverer: Deliverer, policy: Policy, *, compress_min_bytes: int | None
    ) -> None:
        self._deliverer = deliverer
        self._policy = policy
        self._compress_min_bytes = compress_min_bytes

    def ask(self, request: Request, entry: Entry, *, absent: Answer) -> Question:
        serving = Serving(
            ObjectName(entry.bucket.name, entry.key),
            self._policy,
            absent.kind,
            compress_min_bytes=self._compress_min_bytes,
        )
        failed = partial(failure, kind=absent.kind)
        return ObjectQuestion(self._deliverer, request, serving, absent=absent, failed=failed)
