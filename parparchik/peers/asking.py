"""One request to a peer, over HTTP.

There is one at a time for each peer, so httpx's own pool serves: it never has more than one
connection. Redirects are not followed and no proxy is asked: the key is for the peer alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx
import msgspec
import trio

from parparchik.config.model import CacheConfig
from parparchik.peers.messages import FORGET_PATH, Forget, Forgotten

LARGEST_ANSWER_BYTES = 64 * 1024
"""Ours has a hundred; whatever has more is not a peer."""

_REASONS: Mapping[int, str] = {
    401: "it does not know the key (401): cache.peer_key has to be the same on all hosts",
    403: "it takes no changes from other hosts (403): set cache.peer_key or auth.api_keys there",
    404: "it has no cache of objects (404), or is not parparchik, or is older than peers",
}


class PeerFailed(Exception):
    """The peer has not confirmed; the message says why and holds no secret."""


class HTTPPeer:
    """`Ask` of the server at `url`."""

    def __init__(self, url: str, settings: CacheConfig) -> None:
        self._url = url + FORGET_PATH
        self._timeout_s = settings.peer_timeout_s
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if settings.peer_key:
            headers["authorization"] = f"Bearer {settings.peer_key}"
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if url.startswith("https:"):
            tls.load_default_certs()  # the system's authorities, or those of SSL_CERT_FILE
        self._client = httpx.AsyncClient(
            headers=headers,
            verify=tls,
            timeout=2 * self._timeout_s,  # what counts is the whole, below
            trust_env=False,
            limits=httpx.Limits(max_connections=1),
        )

    async def __call__(self, forget: Forget) -> Forgotten:
        try:
            with trio.fail_after(self._timeout_s):
                return await self._ask(msgspec.json.encode(forget))
        except trio.TooSlowError:
            raise PeerFailed(f"no answer within {self._timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise PeerFailed(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ask(self, body: bytes) -> Forgotten:
        async with self._client.stream("POST", self._url, content=body) as response:
            if response.status_code != httpx.codes.OK:
                status = response.status_code
                raise PeerFailed(_REASONS.get(status, f"it answers with status {status}"))
            announced = response.headers.get("content-length", "")
            if not announced.isdecimal() or int(announced) > LARGEST_ANSWER_BYTES:
                raise PeerFailed("its answer is not that of parparchik")
            content = await response.aread()
        try:
            return msgspec.json.decode(content, type=Forgotten)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise PeerFailed("its answer is not that of parparchik") from None


async def peer_problems(settings: CacheConfig) -> tuple[tuple[str, str | None], ...]:
    """(URL, why it cannot be told of changes or None) of each peer, which is told of nothing."""
    problems: dict[str, str | None] = dict.fromkeys(settings.peers)

    async def ask(url: str) -> None:
        peer = HTTPPeer(url, settings)
        try:
            await peer(Forget(""))
        except PeerFailed as error:
            problems[url] = str(error)
        finally:
            with trio.CancelScope(shield=True):
                await peer.aclose()

    async with trio.open_nursery() as nursery:
        for url in settings.peers:
            nursery.start_soon(ask, url)
    return tuple(problems.items())
