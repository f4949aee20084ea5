"""One operation on a bucket, asked with a `Caller`: attempts, and what their answers mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import httpx
import trio

from parparchik.errors import UpstreamError
from parparchik.model import Unfinished
from parparchik.s3.call import Caller
from parparchik.s3.failures import Operation, Rejection, error_of
from parparchik.s3.limit import TimeLimit
from parparchik.s3.operation import Operations
from parparchik.s3.request import Piece, PiecewiseBody
from parparchik.s3.response import Reply
from parparchik.s3.sigv4 import Pairs

_FINE = (200, 204)

T = TypeVar("T")

Outcome = Reply | UpstreamError | httpx.TransportError | None
"""Of one attempt; None: the connection was closed before S3 can have read the request."""


class Begun(NamedTuple):
    """A first attempt; `since_s` (monotonic) the operation's time runs."""

    outcome: Outcome
    since_s: float


class Asking:
    """For the bucket called `bucket`, asked for in `region`."""

    __slots__ = ("_bucket", "_now", "_region", "caller", "operations")

    def __init__(
        self,
        caller: Caller,
        operations: Operations,
        *,
        bucket: str,
        region: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.caller = caller
        self.operations = operations
        self._bucket = bucket
        self._region = region
        self._now = now

    async def ask(
        self,
        operation: Operation,
        method: str,
        path: str,
        judge: Callable[[Reply], T],
        *,
        query: Pairs = (),
        headers: Mapping[str, str] | None = None,
        body: PiecewiseBody | None = None,
        refused: Callable[[Rejection], T] | None = None,
        total_s: float | None = None,
        read_timeout_s: float | None = None,
        begun: Begun | None = None,
    ) -> T:
        """What `judge` makes of a success (200 or 204), `refused` of anything else: it returns, or
        raises; without it the error is raised that `error` has. `begun` is a first attempt, from
        which it goes on."""

        limit = TimeLimit()
        first = [] if begun is None or begun.outcome is None else [begun.outcome]

        async def attempt() -> T:
            reply = first.pop() if first else None
            if isinstance(reply, Exception):
                raise reply
            if reply is None:
                reply = await self.caller.call(
                    method,
                    path,
                    query=query,
                    headers=headers,
                    body=body,
                    read_timeout_s=read_timeout_s,
                    limit=limit,
                )
            if reply.status in _FINE:
                return judge(reply)
            rejection = self.rejection(reply)
            if refused is None:
                raise self.error(rejection, operation)
            return refused(rejection)

        return await self.operations.run(
            operation,
            attempt,
            total_s=total_s,
            begun_s=None if begun is None else begun.since_s,
            limit=limit,
        )

    def ask_soon(
        self,
        operation: Operation,
        method: str,
        path: str,
        judge: Callable[[Reply], T],
        then: Callable[[T | Unfinished[T]], None],
        *,
        headers: Mapping[str, str],
        pieces: Sequence[Piece],
        total_s: float | None = None,
    ) -> bool:
        """The same of what is small, without a task, where that can begin at once: whether it did.
        `then` is called later, once, from the event loop, and must not raise."""
        now_s = trio.current_time()

        def tell(outcome: Outcome) -> None:
            if isinstance(outcome, Reply) and outcome.status in _FINE:
                self.operations.succeeded(operation, now_s)
                then(judge(outcome))
                return
            go_on = partial(
                self.ask,
                *(operation, method, path, judge),
                headers=headers,
                body=PiecewiseBody(pieces),
                total_s=total_s,
                begun=Begun(outcome, now_s),
            )
            then(Unfinished(go_on))

        return self.caller.call_soon(
            *(method, path, tell),
            headers=headers,
            pieces=pieces,
            now_s=now_s,
            most_s=self.operations.total_s if total_s is None else total_s,
        )

    def rejection(self, reply: Reply) -> Rejection:
        return Rejection.of(reply, now_s=self._now())

    def error(self, rejection: Rejection, operation: Operation) -> UpstreamError:
        return error_of(rejection, operation, self._bucket, self._region)
