"""One operation on a bucket, asked with a `Caller`: attempts, and what their answers mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from parparchik.errors import UpstreamError
from parparchik.s3.call import Caller
from parparchik.s3.failures import Operation, Rejection, error_of
from parparchik.s3.limit import TimeLimit
from parparchik.s3.operation import Operations
from parparchik.s3.request import PiecewiseBody
from parparchik.s3.response import Reply
from parparchik.s3.sigv4 import Pairs

T = TypeVar("T")


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
    ) -> T:
        """What `judge` makes of a success (200 or 204), `refused` of anything else: it returns, or
        raises; without it the error is raised that `error` has."""

        limit = TimeLimit()

        async def attempt() -> T:
            reply = await self.caller.call(
                method,
                path,
                query=query,
                headers=headers,
                body=body,
                read_timeout_s=read_timeout_s,
                limit=limit,
            )
            if reply.status in (200, 204):
                return judge(reply)
            rejection = self.rejection(reply)
            if refused is None:
                raise self.error(rejection, operation)
            return refused(rejection)

        return await self.operations.run(operation, attempt, total_s=total_s, limit=limit)

    def rejection(self, reply: Reply) -> Rejection:
        return Rejection.of(reply, now_s=self._now())

    def error(self, rejection: Rejection, operation: Operation) -> UpstreamError:
        return error_of(rejection, operation, self._bucket, self._region)
