"""One request to one bucket through httpx, answered by a whole `Reply`."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import httpx

from parparchik import __version__
from parparchik.errors import BadTarget
from parparchik.s3.addressing import Origin
from parparchik.s3.response import Reply
from parparchik.s3.sigv4 import Pairs, canonical_query, encode_pairs

DOCUMENT_MAX_BYTES = 16 << 20  # a list page of 1,000 of the longest keys has less than 10 MiB

_HEADERS = {
    "user-agent": f"parparchik/{__version__}",
    "accept-encoding": "identity",  # objects as they were stored
}


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
        max_bytes: int = DOCUMENT_MAX_BYTES,
    ) -> Reply:
        """`path` is encoded, `query` is not. Raises httpx.HTTPError, UpstreamError for a larger
        answer than `max_bytes`, and what signing raises."""
        request = httpx.Request(
            method,
            self._url(path, query),
            headers={"host": self._origin.authority, **_HEADERS, **(headers or {})},
            stream=body,
            extensions={"timeout": self._timeout, "max_bytes": max_bytes},
        )
        response = await self._client.send(request, auth=self._auth, stream=True)
        try:
            content = BytesIO()  # its value is taken without another copy
            async for piece in response.aiter_raw():
                content.write(piece)
        finally:
            await response.aclose()
        return Reply(response.status_code, dict(response.headers.raw), content.getvalue())

    def _url(self, path: str, query: Pairs) -> httpx.URL:
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
