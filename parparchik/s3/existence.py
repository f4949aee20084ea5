"""Whether an object exists: the one question where a wrong answer does harm.

The answer to a HEAD has no body, so a 404 does not tell a missing key from a missing bucket, and a
403 does not tell a missing permission from a wrong clock or a wrong secret. None of these may be
taken for an absence. So when a HEAD says anything but 200, a GET of the same key's first byte is
asked for the reason, which comes as a code. A reason is believed for some seconds, for all HEADs
with that status: a flood of misses costs next to no GETs, and a bucket that was deleted is noticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from parparchik.model import ObjectHead
from parparchik.s3.addressing import Address
from parparchik.s3.call import Caller
from parparchik.s3.failures import Rejection
from parparchik.s3.response import Reply, object_head
from parparchik.s3.retry import Transient
from parparchik.s3.sigv4 import Credentials

REASON_LIFE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why HEADs with these credentials get a certain status, until (monotonic) `until_s`."""

    rejection: Rejection
    credentials: Credentials
    until_s: float


class Existence:
    """Asks for the objects of one bucket."""

    __slots__ = ("_address", "_asking", "_caller", "_credentials", "_now", "_reasons")

    def __init__(
        self,
        caller: Caller,
        address: Address,
        *,
        credentials: Callable[[], Credentials],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._caller = caller
        self._address = address
        self._credentials = credentials
        self._now = now
        self._reasons: dict[int, _Reason] = {}
        self._asking = trio.Lock()

    async def judge(self, key: str, reply: Reply) -> ObjectHead | Rejection:
        """What a HEAD's answer comes to; raises what `why` raises."""
        return object_head(reply) if reply.status == 200 else await self.why(key, reply)

    async def why(self, key: str, reply: Reply) -> Rejection:
        """What an answer comes to that is not a success. A rejection that is not transient has its
        code, if S3 gives any.

        Raises httpx.HTTPError, UpstreamError (Transient) and what `credentials` raises.
        """
        rejection = Rejection.of(reply, now_s=self._now())
        if rejection.transient:
            return rejection
        return self._known_reason(reply.status) or await self._ask_reason(key, reply.status)

    def _known_reason(self, status: int) -> Rejection | None:
        known = self._reasons.get(status)
        if (
            known is None
            or known.credentials is not self._credentials()
            or trio.current_time() >= known.until_s
        ):
            return None
        return known.rejection

    async def _ask_reason(self, key: str, status: int) -> Rejection:
        async with self._asking:
            known = self._known_reason(status)  # whoever held the lock before has learnt it
            if known is not None:
                return known
            credentials = self._credentials()
            reply = await self._caller.call(
                "GET", self._address.path(key), headers={"range": "bytes=0-0"}
            )
            if reply.status in (200, 206, 416):  # an empty object has no first byte
                raise Transient(f"S3 answered {status} to a HEAD, but {reply.status} to the GET")
            rejection = Rejection.of(reply, now_s=self._now())
            if rejection.status == status and not rejection.transient:
                self._reasons[status] = _Reason(
                    rejection, credentials, trio.current_time() + REASON_LIFE_S
                )
            return rejection
