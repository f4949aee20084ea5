"""One request to one bucket through httpx, answered by a whole `Reply`, or by a response whose body
is still to be read."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import httpx

from parparchik import __version__
from parparchik.errors import BadTarget, UpstreamError
from parparchik.s3.addressing import Origin
from parparchik.s3.body import BODY, ResponseBody
from parparchik.s3.response import Reply, by_name
from parparchik.s3.sigv4 import Pairs, canonical_query, encode_pairs
from parparchik.s3.trace import current_traceparent

DOCUMENT_MAX_BYTES = 16 << 20  # a list page of 1,000 of the longest keys has less than 10 MiB

_HEADERS = {
    "user-agent": f"parparchik/{__version__}",
    "accept-encoding": "identity",  # objects as they were stored
}

_SENT = httpx.ByteStream(b"")


class Caller:
    """Sends to `origin`, signed by `auth`. Each call is one attempt."""

    __slots__ = ("_auth", "_client", "_origin", "_timeout")

    def __init__(
        self, client: httpx.AsyncClient, origin: Origin, auth: httpx.Auth, timeout: httpx.Timeout
    ) -> None:
        self._client = client
        self._origin = origin
        self._auth = auth
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
        sent = {"host": self._origin.authority, **_HEADERS, **(headers or {})}
        if traceparent := current_traceparent():
            sent["traceparent"] = traceparent
        timeout = self._timeout
        if read_timeout_s is not None:
            timeout = {**timeout, "read": read_timeout_s}
        request = httpx.Request(
            method,
            self.url(path, query),
            headers=[(name.encode("ascii"), text.encode("latin-1")) for name, text in sent.items()],
            stream=body,
            extensions={"timeout": timeout},
        )
        try:
            return await self._client.send(request, auth=self._auth, stream=True)
        finally:
            # httpx's responses and their streams hold each other, and the request, until the
            # garbage collector comes by: not with a part of 16 MiB.
            request.stream = _SENT

    def url(self, path: str, query: Pairs = ()) -> httpx.URL:
        """Raises BadTarget for a path that no URL can have."""
        pairs = encode_pairs(query)
        target = f"{path}?{canonical_query(pairs)}" if pairs else path
        url = httpx.URL(
            scheme=self._origin.scheme,
            host=self._origin.host,
            port=self._origin.port,
            raw_path=target.encode("ascii"),
        )
        if url.raw_path != target.encode("ascii"):
            raise BadTarget("a key with a segment '.' or '..' cannot be asked for")
        return url


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
