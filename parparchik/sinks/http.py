"""InfluxDB line protocol over HTTP: one POST a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import httpx

from parparchik.sinks.destination import SinkFailed, SinkRefused
from parparchik.sinks.measurement import Measurement

_ASK_AGAIN = frozenset({401, 403, 404, 408, 429})
"""With these the batch may be good: a token, a database or a little time is missing."""


class HTTPDestination:
    """`encode` makes a batch; `token` is sent with it if there is one."""

    def __init__(
        self,
        url: str,
        token: str,
        timeout_s: float,
        encode: Callable[[Sequence[Measurement]], bytes],
    ) -> None:
        self._url = url
        self._encode = encode
        headers = {"content-type": "text/plain; charset=utf-8"}
        if token:
            headers["authorization"] = f"Token {token}"
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout_s, trust_env=False)

    def prepare(self, measurements: Sequence[Measurement]) -> bytes:
        return self._encode(measurements)

    async def send(self, batch: bytes) -> None:
        try:
            response = await self._client.post(self._url, content=batch)
        except httpx.HTTPError as error:
            raise SinkFailed(f"HTTP: {error or type(error).__name__}") from error
        if response.is_success:
            return
        reason = f"HTTP status {response.status_code}"
        if response.is_client_error and response.status_code not in _ASK_AGAIN:
            raise SinkRefused(f"{reason}: {response.text[:200]}")
        raise SinkFailed(reason)

    async def aclose(self) -> None:
        await self._client.aclose()
