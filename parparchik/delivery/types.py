"""What modes ask of the delivery: which object answers a request, and how it is dressed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from parparchik.cache import Absent, Policy
from parparchik.content import ObjectName
from parparchik.model import Answer, Headers, Request


@dataclass(frozen=True, slots=True)
class Serving:
    """An object as the answer to a request.

    `status` other than 200 is an error page: conditions and ranges do not apply to it. `headers`
    are added to every answer, in the place of the object's of the same name (to Vary they add).
    `compress_min_bytes` None: as it is stored. `default_max_age_s`: where the object has neither
    Cache-Control nor Expires of its own, the answer gets `max-age` of it and Expires.
    """

    name: ObjectName
    policy: Policy
    kind: str
    status: int = 200
    headers: Headers = field(default=())
    compress_min_bytes: int | None = None
    default_max_age_s: float | None = None


class Delivery(Protocol):
    """From a request and the object that answers it to the answer: conditional requests, ranges,
    codings, `X-Cache` and `Age`, for every mode alike."""

    def answer_nowait(self, request: Request, serving: Serving) -> Answer | Absent | None:
        """From memory; None where `answer` must be asked. While nothing has changed, and within a
        second, the same Answer object."""
        ...

    async def answer(self, request: Request, serving: Serving) -> Answer | Absent:
        """Raises UpstreamError where S3 gives no usable answer."""
        ...
