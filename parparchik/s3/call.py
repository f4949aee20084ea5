"""One request to one bucket, answered by a whole `Reply`, or by a response whose body is still to
be read.

Requests and responses are httpx's, and so is the hook that signs. What `AsyncClient.send` does
between the two costs more than both: it looks for redirects, cookies and other hooks, of which
there are none here. So hook and transport are called here. Likewise httpx takes every URL apart
anew: a request has that of its origin, and beside it the target as S3 encodes it.

What is small needs none of that, see `small`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO

import httpx

from parparchik import __version__
from parparchik.errors import ParparchikError, UpstreamError
from parparchik.s3.addressing import Origin, target_of
from parparchik.s3.auth import SigV4Auth
from parparchik.s3.body import BODY, ResponseBody
from parparchik.s3.exchange import Timeouts
from parparchik.s3.limit import UNLIMITED, TimeLimit
from parparchik.s3.request import TARGET, Piece
from parparchik.s3.response import Reply, by_name
from parparchik.s3.sigv4 import Pairs, encode_pairs
from parparchik.s3.small import signed_request, small_body
from parparchik.s3.trace import current_traceparent
from parparchik.s3.transport import Transport

DOCUMENT_MAX_BYTES = 16 << 20  # a list page of 1,000 of the longest keys has less than 10 MiB

_HEADERS = {
    "user-agent": f"parparchik/{__version__}",
    "accept-encoding": "identity",  # objects as they were stored
}


class Caller:
    """Sends to `origin`, signed by the one step of `auth`. Each call is one attempt."""

    __slots__ = ("_auth", "_headers", "_origin", "_timeout", "_timeouts", "_transport", "_url")

    def __init__(
        self,
        transport: Transport,
        origin: Origin,
        auth: SigV4Auth,
        timeout: httpx.Timeout,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._url = httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port)
        self._auth = auth
        self._headers = {"host": origin.authority, **_HEADERS}
        self._timeout = timeout.as_dict()
        self._timeouts = Timeouts.of(self._timeout)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        headers: Mapping[str, str] | None = None,
        body: httpx.AsyncByteStream | None = None,
        read_timeout_s: float | None = None,
        max_bytes: int = DOCUMENT_MAX_BYTES,
        limit: TimeLimit = UNLIMITED,
    ) -> Reply:
        """`path` is encoded, `query` is not; headers are sent as ISO 8859-1. Raises
        httpx.HTTPError, UpstreamError for a larger answer than `max_bytes`, and what signing
        raises."""
        pieces = small_body(method, headers, body)
        if pieces is None:
            limit.begin()
            response = await self.open(
                method, path, query=query, headers=headers, body=body, read_timeout_s=read_timeout_s
            )
            return await whole(body_of(response), max_bytes=max_bytes)
        timeouts = self._timeouts
        if read_timeout_s is not None:
            timeouts = replace(timeouts, read_s=read_timeout_s)
        request = self._signed(method, path, headers, pieces, query)
        answer = await self._transport.send(
            self._origin, request, timeouts, to_head=method == "HEAD", limit=limit
        )
        if not answer.is_here:
            limit.begin()
        return await whole(answer, max_bytes=max_bytes)

    def call_soon(
        self,
        method: str,
        path: str,
        then: Callable[[Reply | UpstreamError | httpx.TransportError | None], None],
        *,
        headers: Mapping[str, str],
        pieces: Sequence[Piece],
        now_s: float,
        most_s: float,
    ) -> bool:
        """`call` of what is small, without a task, as `Transport.send_soon`; `most_s` is all the
        time that there is. False, too, where it cannot be signed or said: whoever calls in earnest
        is told why."""
        try:
            request = self._signed(method, path, headers, pieces)
        except (ParparchikError, httpx.LocalProtocolError):
            return False
        timeout_s = min(self._timeouts.read_s, most_s)
        return self._transport.send_soon(
            self._origin, request, then, now_s=now_s, timeout_s=timeout_s
        )

    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        headers: Mapping[str, str] | None = None,
        body: httpx.AsyncByteStream | None = None,
        read_timeout_s: float | None = None,
    ) -> httpx.Response:
        """The response when its head has come; the caller closes it. Raises the same."""
        target = target_of(path, encode_pairs(query))
        sent = self._sent(headers)
        timeout = self._timeout
        if read_timeout_s is not None:
            timeout = {**timeout, "read": read_timeout_s}
        request = httpx.Request(
            method,
            self._url,
            headers=[(name.encode("ascii"), text.encode("latin-1")) for name, text in sent.items()],
            stream=body,
            extensions={"timeout": timeout, TARGET: target.encode("ascii")},
        )
        return await self._transport.handle_async_request(next(self._auth.auth_flow(request)))

    def _signed(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        pieces: Sequence[Piece],
        query: Pairs = (),
    ) -> bytes:
        return signed_request(
            self._auth,
            method,
            path,
            query=encode_pairs(query),
            headers=self._sent(headers),
            pieces=pieces,
        )

    def _sent(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = {**self._headers, **(headers or {})}
        if traceparent := current_traceparent():
            sent["traceparent"] = traceparent
        return sent


async def whole(answer: ResponseBody, *, max_bytes: int = DOCUMENT_MAX_BYTES) -> Reply:
    """An answer with its body, read to the end. Raises httpx.HTTPError and UpstreamError."""
    content = BytesIO()  # its value is taken without another copy
    try:
        while piece := await answer.read():
            if content.tell() + len(piece) > max_bytes:
                raise UpstreamError(f"S3's answer is larger than {max_bytes} bytes")
            content.write(piece)
    finally:
        answer.drop()
    return Reply(answer.status, by_name(answer.headers), content.getvalue())


def body_of(response: httpx.Response) -> ResponseBody:
    """What is under httpx's own layers."""
    body: ResponseBody = response.extensions[BODY]
    return body
