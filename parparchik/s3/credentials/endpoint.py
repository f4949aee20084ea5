"""One small HTTP exchange with an endpoint that hands out credentials: bounded in time and size.

httpx's exceptions are translated here and nowhere else. URLs stay out of the texts, for some of
them are secrets themselves (ECS: a task's relative URI).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
import trio

from parparchik.errors import UpstreamError
from parparchik.s3.credentials.source import SourceError

_REPLY_MAX_BYTES = 64 * 1024  # a reply has one or two KiB


class NoAnswerError(SourceError):
    """The peer took the request, or the connection, and then kept silent."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = field(repr=False)


def parse_url(text: str) -> httpx.URL | None:
    """An absolute http or https URL; None for anything else."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    return url if url.scheme in ("http", "https") and url.host else None


async def ask_endpoint(
    client: httpx.AsyncClient,
    method: str,
    url: httpx.URL,
    *,
    headers: Mapping[str, str],
    limit_s: float,
    content: bytes = b"",
) -> Reply:
    """Send a request, read the whole answer, within `limit_s` in all. Redirects aren't followed:
    what is asked for is for the peer that was named, and so is what is sent.

    Raises SourceError, NoAnswerError where the peer is there but silent.
    """
    peer = f"{url.scheme}://{url.netloc.decode('ascii')}"
    request = client.build_request(
        method,
        url,
        content=content or None,
        headers={"accept-encoding": "identity", **headers},
        timeout=limit_s,
    )
    try:
        with trio.fail_after(limit_s):
            response = await client.send(request, auth=None, stream=True, follow_redirects=False)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
            if body is None:
                raise SourceError(f"{peer} answered with more than {_REPLY_MAX_BYTES} bytes")
            return Reply(response.status_code, body)
    except httpx.ConnectTimeout:
        raise SourceError(f"{peer} could not be reached within {limit_s:g} s") from None
    except httpx.ConnectError as error:
        raise SourceError(f"{peer} could not be reached ({error})") from None
    except (httpx.TimeoutException, trio.TooSlowError):
        raise NoAnswerError(f"{peer} gave no whole answer within {limit_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{peer} gave no proper HTTP answer ({type(error).__name__})") from None
    except UpstreamError as error:
        raise SourceError(str(error)) from None


async def _read(response: httpx.Response) -> bytes | None:
    """The body; None when it is too long to be a reply. What is too much is read and dropped, as
    long as the time lasts: httpx's generators do not like to be left in the middle."""
    body = bytearray()
    async for part in response.aiter_raw():
        if len(body) <= _REPLY_MAX_BYTES:
            body += part
    return bytes(body) if len(body) <= _REPLY_MAX_BYTES else None
