"""What other hosts ask of the cache, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from parparchik.config.model import AuthConfig
from parparchik.content import ObjectName
from parparchik.errors import Unavailable
from parparchik.metrics import PEERS_TYPE
from parparchik.peers import MAX_CHANGES
from parparchik.routes import Authenticator
from parparchik.web import Peering

if TYPE_CHECKING:
    from tests.web.conftest import Reply, StartWeb, Web

KEY = "the-key-of-the-peers"


@dataclass
class Caches:
    """Those of this host. `told` is what they have forgotten."""

    told: list[tuple[tuple[ObjectName, ...], tuple[tuple[str, str], ...]]] = field(
        default_factory=list
    )
    failing: bool = False

    async def forget(
        self, names: tuple[ObjectName, ...], below: tuple[tuple[str, str], ...]
    ) -> int:
        await trio.lowlevel.checkpoint()
        if self.failing:
            raise Unavailable("not every process could be told of the change")
        self.told.append((names, below))
        return len(names)


@pytest.fixture
def caches() -> Caches:
    return Caches()


def peering(caches: Caches, *keys: str) -> Peering:
    return Peering("me", Authenticator(AuthConfig(keys)), caches.forget)


@pytest.fixture
async def web(start_web: StartWeb, caches: Caches) -> Web:
    return await start_web(peering=peering(caches, KEY))


async def post(
    web: Web, document: object, headers: Sequence[str] = (f"X-API-Key: {KEY}",)
) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await web.ask("POST", "/cache/forget", [f"Content-Length: {len(body)}", *headers], body)


CHANGES = {"sender": "other", "names": [["b", "x/я"], ["unknown", "y"]], "below": [["b", "d/"]]}


async def test_what_a_peer_has_changed_is_forgotten(web: Web, caches: Caches) -> None:
    reply = await post(web, CHANGES)
    assert (reply.status, reply.json) == (200, {"instance": "me", "forgotten": 2})
    names = (ObjectName("b", "x/я"), ObjectName("unknown", "y"))
    assert caches.told == [(names, (("b", "d/"),))]


async def test_a_peer_that_has_nothing_to_tell_is_heard_too(web: Web, caches: Caches) -> None:
    assert (await post(web, {"sender": "other"})).json == {"instance": "me", "forgotten": 0}
    assert caches.told == [((), ())], "one of ours may wait for it"


async def test_what_we_have_told_ourselves_is_nothing_new(web: Web, caches: Caches) -> None:
    reply = await post(web, CHANGES | {"sender": "me"})
    assert (reply.status, reply.json) == (200, {"instance": "me", "forgotten": 0})
    assert caches.told == []


async def test_where_not_all_have_forgotten_the_peer_asks_again(web: Web, caches: Caches) -> None:
    caches.failing = True
    reply = await post(web, CHANGES)
    assert reply.status == 503
    assert reply.header("retry-after") == "1"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        {},
        {"sender": 1},
        {"sender": "s", "names": [["b"]]},
        {"sender": "s", "names": [["b", "k", "v"]]},
        {"sender": "s", "below": "all"},
        {"sender": "s", "everything": True},
        {"sender": "s", "names": [["b", "k"]] * (MAX_CHANGES + 1)},
    ],
)
async def test_what_is_not_understood_is_refused(
    web: Web, caches: Caches, document: object
) -> None:
    assert (await post(web, document)).status == 400
    assert caches.told == []


async def test_as_much_as_a_peer_sends_at_once_is_taken(web: Web, caches: Caches) -> None:
    """Characters that JSON has six bytes for, in as many names as there may be."""
    names = [["b", "\x01" * 262] for _ in range(MAX_CHANGES)]
    assert (await post(web, {"sender": "s", "names": names})).status == 200
    [(told, _)] = caches.told
    assert len(told) == MAX_CHANGES


@pytest.mark.parametrize("headers", [[], ["X-API-Key: wrong"], ["Authorization: Basic YTpi"]])
async def test_the_key_of_the_peers_is_needed(
    web: Web, caches: Caches, headers: Sequence[str]
) -> None:
    reply = await post(web, CHANGES, headers)
    assert reply.status == 401
    assert KEY not in reply.body.decode()
    assert caches.told == []


async def test_the_key_of_the_peers_opens_nothing_else(start_web: StartWeb, caches: Caches) -> None:
    web = await start_web(auth=AuthConfig(("an-api-key",)), peering=peering(caches, KEY))
    for path in ("/list", "/cache/stats"):
        assert (await web.ask("GET", path, [f"X-API-Key: {KEY}"])).status == 401


@pytest.mark.parametrize("path", ["/cache/forget", "/cache/warm"])
async def test_only_who_has_a_key_may_send_much(
    start_web: StartWeb, caches: Caches, path: str
) -> None:
    web = await start_web(auth=AuthConfig(("an-api-key",)), peering=peering(caches, KEY))
    body = b" " * 100_000 + b"{}"
    for key, status in (("wrong", 413), ("an-api-key", None)):
        headers = [f"Content-Length: {len(body)}", f"X-API-Key: {key}"]
        reply = await web.ask("POST", path, headers, body)
        assert (reply.status == 413) is (status == 413)


async def test_without_a_key_it_is_for_the_machine_itself(
    start_web: StartWeb, caches: Caches
) -> None:
    web = await start_web(peering=peering(caches))
    assert (await post(web, CHANGES, ["X-Forwarded-For: 192.0.2.1"])).status == 403
    assert caches.told == []
    assert (await post(web, CHANGES, [])).status == 200


async def test_where_nothing_is_cached(start_web: StartWeb) -> None:
    web = await start_web()
    assert (await post(web, CHANGES)).status == 404


class Scrape:
    async def render(self, accept: str) -> tuple[str, bytes]:
        await trio.lowlevel.checkpoint()
        assert accept == PEERS_TYPE
        return "application/json", b'[{"url": "http://p:1", "reachable": false, "pending": 3}]'


async def test_status_says_how_peers_are_and_readiness_does_not_mind(start_web: StartWeb) -> None:
    web = await start_web(peers=("http://p:1",), exposition=Scrape())
    assert (await web.ask("GET", "/status")).json["peers"] == [
        {"url": "http://p:1", "reachable": False, "pending": 3}
    ]
    assert (await web.ask("GET", "/readiness")).status == 200


async def test_without_peers_status_is_as_ever(web: Web) -> None:
    assert "peers" not in (await web.ask("GET", "/status")).json
