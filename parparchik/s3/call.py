"""One request to one bucket, answered by a whole `Reply`, or by a response whose body is still to
be read.

Requests and responses are httpx's, and so is the hook that signs. What `AsyncClient.send` does
between the two costs more than both: it looks for redirects, cookies and other hooks, of which
there are none here. So hook and transport are called here. Likewise httpx takes every URL apart
anew: a request has that of its origin, and beside it the target as S3 encodes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import httpx

from parparchik import __version__
from parparchik.errors import BadTarget, UpstreamError
from parparchik.s3.addressing import Origin
from parparchik.s3.body import BODY, ResponseBody
from parparchik.s3.request import TARGET
from parparchik.s3.response import Reply, by_name
from parparchik.s3.sigv4 import Pairs, canonical_query, encode_pairs
from parparchik.s3.trace import current_traceparent

DOCUMENT_MAX_BYTES = 16 << 20  # a list page of 1,000 of the longest keys has less than 10 MiB

_HEADERS = {
    "user-agent": f"parparchik/{__version__}",
    "accept-encoding": "identity",  # objects as they were stored
}


class Caller:
    """Sends to `origin`, signed by the one step of `auth`. Each call is one attempt."""

    __slots__ = ("_auth", "_headers", "_timeout", "_transport", "_url")

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        origin: Origin,
        auth: httpx.Auth,
        timeout: httpx.Timeout,
    ) -> None:
        self._transport = transport
        self._url = httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port)
        self._auth = auth
        self._headers = {"host": origin.authority, **_HEADERS}
        self._timeout = timeout.as_dict()

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
    ) -> Reply:
        """`path` is encoded, `query` is not; headers are sent as ISO 8859-1. Raises
        httpx.HTTPError, UpstreamError for a larger answer than `max_bytes`, and what signing
        raises."""
        response = await self.open(
            method, path, query=query, headers=headers, body=body, read_timeout_s=read_timeout_s
        )
        return await whole(response, max_bytes=max_bytes)

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
        sent = {**self._headers, **(headers or {})}
        if traceparent := current_traceparent():
            sent["traceparent"] = traceparent
        timeout = self._timeout
        if read_timeout_s is not None:
            timeout = {**timeout, "read": read_timeout_s}
        request = httpx.Request(
            method,
            self._url,
            headers=[(name.encode("ascii"), text.encode("latin-1")) for name, text in sent.items()],
            stream=body,
            extensions={"timeout": timeout, TARGET: target_of(path, query)},
        )
        return await self._transport.handle_async_request(next(self._auth.auth_flow(request)))


def target_of(path: str, query: Pairs = ()) -> bytes:
    """Raises BadTarget for a path that means another one to who reads it as RFC 3986 section 5.2.4
    says: many a proxy before S3."""
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        raise BadTarget("a key with a segment '.' or '..' cannot be asked for")
    pairs = encode_pairs(query)
    return (f"{path}?{canonical_query(pairs)}" if pairs else path).encode("ascii")


async def whole(response: httpx.Response, *, max_bytes: int = DOCUMENT_MAX_BYTES) -> Reply:
    """The response with its body, read to the end. Raises httpx.HTTPError and UpstreamError."""
    body = body_of(response)
    content = BytesIO()  # its value is taken without another copy
    try:
        while piece := await body.read():
            if content.tell() + len(piece) > max_bytes:
                raise UpstreamError(f"S3's answer is larger than {max_bytes} bytes")
            content.write(piece)
    finally:
        body.drop()
    return Reply(response.status_code, by_name(response.headers.raw), content.getvalue())


def body_of(response: httpx.Response) -> ResponseBody:
    """What is under httpx's own layers."""
    body: ResponseBody = response.extensions[BODY]
    return body
