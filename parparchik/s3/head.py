"""HEAD as an operation: the short way where that is open, and how it goes on from there.

The short way is one probe on the reactor. If S3 says that the object is there, that is all.
Anything else was the first attempt of an operation like the others, with the time that has passed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import trio
from outcome import Value

from parparchik.config import BucketConfig, S3Config
from parparchik.model import ObjectHead, Unfinished
from parparchik.s3.existence import Existence
from parparchik.s3.failures import Rejection, error_of
from parparchik.s3.operation import Operations
from parparchik.s3.probe import Prober
from parparchik.s3.probing import Outcome
from parparchik.s3.response import Reply


class Heads:
    """Of one bucket."""

    __slots__ = (
        "_config",
        "_count",
        "_existence",
        "_operations",
        "_probe_s",
        "_prober",
        "_s3",
    )

    def __init__(
        self,
        config: BucketConfig,
        s3: S3Config,
        prober: Prober,
        existence: Existence,
        operations: Operations,
    ) -> None:
        self._config = config
        self._s3 = s3
        self._prober = prober
        self._existence = existence
        self._operations = operations
        self._probe_s = min(s3.probe_timeout_s, s3.read_timeout_s)
        self._count = operations.counter("head").count

    async def head(self, key: str) -> ObjectHead | None:
        """In the caller's task: a single sleep, if all is well."""
        begun_s = trio.current_time()
        task = trio.lowlevel.current_task()

        def wake(outcome: Outcome) -> None:
            trio.lowlevel.reschedule(task, Value(outcome))

        probe = self._prober.probe_soon(key, wake, now_s=begun_s, timeout_s=self._probe_s)
        if probe is None:
            return await self._run(partial(self._head, key))

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            probe.cancel()
            self._count("cancelled", trio.current_time() - begun_s)
            return trio.lowlevel.Abort.SUCCEEDED

        found: Outcome = await trio.lowlevel.wait_task_rescheduled(abort)
        if isinstance(found, ObjectHead):
            self._operations.succeeded("head", begun_s)
            return found
        return await self._finish(key, found, begun_s)

    def head_soon(
        self, key: str, then: Callable[[ObjectHead | Unfinished[ObjectHead | None]], None]
    ) -> bool:
        begun_s = trio.current_time()

        def tell(outcome: Outcome) -> None:
            if type(outcome) is ObjectHead:
                self._operations.succeeded("head", begun_s)
                then(outcome)
            else:
                then(Unfinished(partial(self._finish, key, outcome, begun_s)))

        return (
            self._prober.probe_soon(key, tell, now_s=begun_s, timeout_s=self._probe_s) is not None
        )

    async def _finish(self, key: str, outcome: Outcome, begun_s: float) -> ObjectHead | None:
        """Go on from a first attempt that came to `outcome`."""
        outcomes = [outcome]

        async def attempt() -> ObjectHead | None:
            return await (self._head_from(key, outcomes.pop()) if outcomes else self._head(key))

        return await self._run(attempt, begun_s=begun_s)

    async def _run(
        self, attempt: Callable[[], Awaitable[ObjectHead | None]], *, begun_s: float | None = None
    ) -> ObjectHead | None:
        return await self._operations.run(
            "head",
            attempt,
            total_s=self._s3.probe_timeout_s,
            attempt_s=self._s3.read_timeout_s,
            begun_s=begun_s,
        )

    async def _head(self, key: str) -> ObjectHead | None:
        reply = await self._prober.probe(key)
        return self._head_of(await self._existence.judge(key, reply))

    async def _head_from(self, key: str, outcome: Outcome) -> ObjectHead | None:
        if isinstance(outcome, Reply):
            return self._head_of(await self._existence.judge(key, outcome))
        if isinstance(outcome, httpx.TransportError):
            raise outcome
        return await self._head(key) if outcome is None else outcome

    def _head_of(self, found: ObjectHead | Rejection) -> ObjectHead | None:
        if isinstance(found, ObjectHead):
            return found
        if found.says_no_key or (self._s3.denied_is_missing and found.says_denied):
            return None
        raise error_of(found, "head", self._config.bucket.name, self._config.endpoint.region)
