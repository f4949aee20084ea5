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

# Caches between us and the clients give no client's answer to another (RFC 9111 section 4.1).
# For Authorization they know that by themselves (section 3.5), for our own field they do not.
_BY_KEY = ((b"vary", b"authorization, x-api-key"),)


class CachedRelay:
    """`routes.Relay`: the file, from the cache. `compress_min_bytes` as in a Serving.
    `needs_keys`: private buckets are open only to those who show an API key."""

    def __init__(
        self,
        deliverer: Deliverer,
        policy: Policy,
        *,
        compress_min_bytes: int | None,
        needs_keys: bool = False,
    ) -> None:
        self._deliverer = deliverer
        self._policy = policy
        self._compress_min_bytes = compress_min_bytes
        self._needs_keys = needs_keys

    def ask(self, request: Request, entry: Entry, *, absent: Answer) -> Question:
        serving = Serving(
            ObjectName(entry.bucket.name, entry.key),
            self._policy,
            absent.kind,
            headers=_BY_KEY if self._needs_keys and not entry.bucket.public else (),
            compress_min_bytes=self._compress_min_bytes,
        )
        failed = partial(failure, kind=absent.kind)
        return ObjectQuestion(self._deliverer, request, serving, absent=absent, failed=failed)
