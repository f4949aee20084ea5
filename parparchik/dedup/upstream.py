"""Another filetracker server, asked over HTTP for its files.

Only its 404 says that a file does not exist. What is wrong with its answers, their content
included, is an upstream's failure: whoever asked us for the file has done nothing wrong.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from typing import Self
from urllib.parse import quote

import httpx
import trio

from parparchik.dedup.paths import LONGEST_PATH_BYTES
from parparchik.dedup.versions import BadVersion, parse_version
from parparchik.errors import Overloaded, Unavailable, UpstreamError, UpstreamTimeout

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_MAX_CONNECTIONS = 64
_LAST_SECOND_S = 253_402_300_799  # of the year 9999: no file is newer
_SIZE = re.compile(r"[0-9]{1,18}")
_HEADERS = {"Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Known:
    """What a server says of a file. `size_bytes` is of the body, `logical_bytes` of the content;
    None where it does not say."""

    version_s: int
    gzip: bool
    size_bytes: int | None
    logical_bytes: int | None


class Fetched:
    """A file that comes; a `model.Upload`. Its errors are UpstreamErrors."""

    def __init__(self, known: Known, pieces: AsyncIterator[bytes]) -> None:
        self.known = known
        self._pieces = pieces

    @property
    def size_bytes(self) -> int | None:
        return self.known.size_bytes

    async def read(self) -> bytes:
        with _translated():
            while (piece := await anext(self._pieces, None)) == b"":
                pass
        return piece or b""


class FiletrackerServer:
    """`url` has no slash at its end; a user and password in it are sent as Basic authentication."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """It can be asked within the context."""
        self._opened = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=True,  # a server that is being migrated itself sends clients on
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            headers=_HEADERS,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        client, self._opened = self._client, None
        with trio.CancelScope(shield=True):
            await client.aclose()

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._opened is None:
            raise Unavailable("the filetracker server is not asked at present")
        return self._opened

    async def stat(self, path: str) -> Known | None:
        """None where there is no such file. Raises UpstreamError."""
        with _translated():
            response = await self._client.head(self._file(path))
        return self._known(response)

    @asynccontextmanager
    async def fetch(self, path: str) -> AsyncIterator[Fetched | None]:
        """The same with the content, to be read within the context."""
        async with self._answered(self._file(path)) as response:
            known = self._known(response)
            if known is None:
                yield None
                return
            pieces = response.aiter_raw()
            try:
                yield Fetched(known, pieces)
            finally:
                await _part(response, pieces)

    async def paths(self) -> AsyncIterator[str]:
        """Of all files, in the server's order. Raises UpstreamError."""
        cut_off = quote(formatdate(_LAST_SECOND_S))
        async with self._answered(f"{self._url}/list/?last_modified={cut_off}") as response:
            if response.status_code != 200:
                raise _refused(response)
            pieces = response.aiter_bytes()
            try:
                async with aclosing(_lines(pieces)) as lines:
                    async for line in lines:
                        yield line
            finally:
                await _part(response, pieces)

    @asynccontextmanager
    async def _answered(self, url: str) -> AsyncIterator[httpx.Response]:
        """A GET, up to where the body begins."""
        with _translated():
            request = self._client.build_request("GET", url)
            response = await self._client.send(request, stream=True)
        try:
            yield response
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()

    @property
    def _host(self) -> str:
        return httpx.URL(self._url).host

    def _file(self, path: str) -> str:
        return f"{self._url}/files/{quote(path)}"

    def _known(self, response: httpx.Response) -> Known | None:
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise _refused(response)
        coding = response.headers.get("content-encoding", "").lower()
        if coding not in ("", "identity", "gzip"):
            raise UpstreamError(f"{self._host} sent a coding that is not understood")
        try:
            version_s = parse_version(response.headers.get("last-modified", ""))
        except BadVersion:
            raise UpstreamError(f"{self._host} did not say which version it sent") from None
        size_bytes = _size(response, "content-length")
        is_gzip = coding == "gzip"
        logical_bytes = _size(response, "logical-size") if is_gzip else size_bytes
        return Known(version_s, is_gzip, size_bytes, logical_bytes)


async def _part(response: httpx.Response, pieces: AsyncIterator[bytes]) -> None:
    """With the connection closed, reading fails at once: so the generators that httpx has put into
    one another all come to their end, which closing the outermost would not do."""
    with trio.CancelScope(shield=True):
        await response.aclose()
        with suppress(httpx.HTTPError, httpx.StreamError):
            async for _ in pieces:
                pass


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    rest = b""
    while True:
        with _translated():
            piece = await anext(pieces, None)
        if piece is None:
            break
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_PATH_BYTES:
            raise UpstreamError("the server's list is none: a line does not end")
        for line in lines:
            if line:
                yield _decoded(line)
    if rest:
        raise UpstreamError("the server's list was broken off")


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UpstreamError("the server's list is not UTF-8") from None


def _size(response: httpx.Response, name: str) -> int | None:
    size = response.headers.get(name, "")
    return int(size) if _SIZE.fullmatch(size) else None


def _refused(response: httpx.Response) -> UpstreamError:
    return UpstreamError(f"{response.url.host} answered {response.status_code}")


@contextmanager
def _translated() -> Iterator[None]:
    """httpx's exceptions as ours; what they say may name the URL, and a password in it."""
    try:
        yield
    except httpx.PoolTimeout as error:
        raise Overloaded("too many requests to the filetracker server already") from error
    except httpx.TimeoutException as error:
        raise UpstreamTimeout("the filetracker server did not answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        why = type(error).__name__
        raise UpstreamError(f"the filetracker server cannot be asked: {why}") from error
