"""Which endpoint asks for an API key, and which never does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parparchik.config.model import AuthConfig

if TYPE_CHECKING:
    from tests.web.conftest import StartWeb, Web

KEYS = AuthConfig(api_keys=("first-key", "second-key"))
GOOD = [["Authorization: Bearer second-key"], ["X-API-Key: first-key"]]
BAD = [
    [],
    ["Authorization: Bearer wrong"],
    ["X-API-Key: first"],
    ["Authorization: Basic first-key"],
]


@pytest.mark.parametrize("headers", BAD, ids=str)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/list"),
        ("HEAD", "/list"),
        ("GET", "/list?sync=true"),
        ("GET", "/update?filename=a"),
        ("GET", "/update"),
        ("POST", "/relocate?filename=a"),
    ],
)
async def test_protected(start_web: StartWeb, method: str, target: str, headers: list[str]) -> None:
    web = await start_web(auth=KEYS)
    reply = await web.ask(method, target, headers)
    assert reply.status == 401
    assert reply.header("www-authenticate") == "Bearer"
    assert web.service.syncs == 0
    if method != "HEAD":
        assert "API key" in str(reply.json["error"])


@pytest.mark.parametrize("headers", GOOD, ids=str)
async def test_any_configured_key_opens(start_web: StartWeb, headers: list[str]) -> None:
    web = await start_web(auth=KEYS)
    assert (await web.ask("GET", "/list", headers)).status == 200
    assert (await web.ask("GET", "/update?filename=a", headers)).status == 404
    assert (await web.ask("POST", "/relocate?filename=a", headers)).status == 404
    assert "buckets" in (await web.ask("GET", "/status", headers)).json


@pytest.mark.parametrize("headers", BAD, ids=str)
async def test_status_without_a_key_is_brief(start_web: StartWeb, headers: list[str]) -> None:
    web = await start_web(auth=KEYS)
    reply = await web.ask("GET", "/status", headers)
    assert (reply.status, reply.json) == (200, {"status": "ok", "ready": True})


@pytest.mark.parametrize("path", ["/readiness", "/redines", "/healthcheck", "/helthcheck"])
async def test_probes_are_open(start_web: StartWeb, path: str) -> None:
    web = await start_web(auth=KEYS)
    assert (await web.ask("GET", path)).status == 200


async def test_metrics_have_their_own_switch(start_web: StartWeb) -> None:
    open_web = await start_web(auth=KEYS)
    assert (await open_web.ask("GET", "/metrics")).status == 200
    closed = await start_web(auth=AuthConfig(api_keys=("k1",), metrics_need_key=True))
    assert (await closed.ask("GET", "/metrics")).status == 401
    assert (await closed.ask("GET", "/metrics", ["X-API-Key: k1"])).status == 200


async def test_nothing_is_asked_for_without_keys(web: Web) -> None:
    for headers in ([], ["X-API-Key: whatever"]):
        assert (await web.ask("GET", "/list", headers)).status == 200
        assert "buckets" in (await web.ask("GET", "/status", headers)).json
