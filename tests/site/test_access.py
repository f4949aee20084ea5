"""Who may ask what: methods, origins, keys, and clearing the cache."""

from __future__ import annotations

import json

import pytest
from trio.testing import MockClock

from parparchik.content import ObjectName
from tests.site.stage import API_KEY, header, request, stage

CLEAR = "/_proxy/_private/_cache/clear"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"])
async def test_a_site_is_to_be_read(autojump_clock: MockClock, method: str) -> None:
    answer = await stage("a").act(method, "/a")
    assert answer.status == 405
    assert header(answer, "allow") == "GET, HEAD, OPTIONS"


async def test_options_says_what_there_is(autojump_clock: MockClock) -> None:
    site = stage("a", needs_key=True, api_keys=(API_KEY,))
    answer = await site.act("OPTIONS", "/a", origin="https://a.example")
    assert (answer.status, answer.body) == (204, b"")
    assert header(answer, "allow") == "GET, HEAD, OPTIONS"
    assert header(answer, "access-control-allow-origin") == ""
    assert not site.bytes.asked


async def test_without_cors_nothing_is_said_of_origins(autojump_clock: MockClock) -> None:
    answer = await stage("a").get("/a", origin="https://a.example")
    assert not any(name.startswith(b"access-control") for name, _ in answer.headers)
    assert header(answer, "vary") == ""


@pytest.mark.parametrize("target", ["/a", "/nowhere", "/folder", "/..", "/list/"])
async def test_any_origin_may_read(autojump_clock: MockClock, target: str) -> None:
    site = stage("a", "folder/index.html", "list/a", cors=("*",), listing=True)
    answer = await site.get(target, origin="https://a.example")
    assert header(answer, "access-control-allow-origin") == "*"
    assert "etag" in header(answer, "access-control-expose-headers")
    assert "origin" not in header(answer, "vary")


@pytest.mark.parametrize("target", ["/a", "/nowhere", "/folder", "/.."])
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example", "https://a.example"),
        ("https://b.example:8443", "https://b.example:8443"),
        ("https://a.example.evil", ""),
        ("http://a.example", ""),
        ("null", ""),
        ("", ""),
    ],
)
async def test_some_origins_may_read(
    autojump_clock: MockClock, target: str, origin: str, allowed: str
) -> None:
    site = stage("a", "folder/index.html", cors=("https://a.example", "https://b.example:8443"))
    for _ in range(2):
        answer = await site.get(target, **({"origin": origin} if origin else {}))
        assert header(answer, "access-control-allow-origin") == allowed
        assert header(answer, "vary") == "origin"


async def test_a_preflight(autojump_clock: MockClock) -> None:
    site = stage("a", cors=("https://a.example",), needs_key=True, api_keys=(API_KEY,))
    asks = {"access_control_request_method": "GET"}
    answer = await site.act("OPTIONS", "/a", origin="https://a.example", **asks)
    assert answer.status == 204
    assert header(answer, "access-control-allow-origin") == "https://a.example"
    assert header(answer, "access-control-allow-methods") == "GET, HEAD, OPTIONS"
    assert "authorization" in header(answer, "access-control-allow-headers")
    assert int(header(answer, "access-control-max-age")) > 0
    assert header(answer, "vary") == "origin"
    answer = await site.act("OPTIONS", "/a", origin="https://evil.example", **asks)
    assert answer.status == 204
    assert not any(name.startswith(b"access-control") for name, _ in answer.headers)
    assert header(answer, "vary") == "origin"


@pytest.mark.parametrize("target", ["/a", "/nowhere", "/list/", "/mount"])
async def test_a_site_may_want_a_key(autojump_clock: MockClock, target: str) -> None:
    site = stage("a", "list/a", needs_key=True, listing=True, api_keys=(API_KEY,))
    for headers in ({}, {"x_api_key": "wrong"}, {"authorization": f"Basic {API_KEY}"}):
        answer = await site.get(target, **headers)
        assert answer.status == 401
        assert header(answer, "www-authenticate") == "Bearer"
        assert header(answer, "vary") == "authorization, x-api-key"
    assert not site.bytes.asked
    for headers in ({"x_api_key": API_KEY}, {"authorization": f"Bearer {API_KEY}"}):
        answer = await site.get(target, **headers)
        assert answer.status != 401
        assert "authorization, x-api-key" in header(answer, "vary")


async def test_without_any_key_a_site_that_wants_one_is_closed(autojump_clock: MockClock) -> None:
    assert (await stage("a", needs_key=True).get("/a", x_api_key="x")).status == 401


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"x_api_key": "sesame"}, 403),
        ({"authorization": "Basic c2VzYW1l"}, 400),
        ({"authorization": "sesame"}, 400),
        ({"authorization": "Bearer"}, 403),
        ({"authorization": "Bearer sesam"}, 403),
        ({"authorization": "Bearer sesamee"}, 403),
        ({"authorization": f"Bearer {API_KEY}"}, 403),
        ({"authorization": "Bearer sesame"}, 304),
        ({"authorization": "bearer  sesame "}, 304),
    ],
)
async def test_clearing_the_cache(
    autojump_clock: MockClock, method: str, headers: dict[str, str], status: int
) -> None:
    site = stage("p/a", "q/a", prefix="p/", auth_key="sesame", api_keys=(API_KEY,), listing=True)
    await site.get("/a")
    await site.get("/", accept="application/json")
    other, mine = ObjectName("web", "q/a"), ObjectName("web", "p/a")
    await site.cache.find(other, site.cache.kept[mine][1].policy, "whole")  # type: ignore[union-attr]
    site.put("p/new")
    if method == "GET":
        answer = await site.get(CLEAR, **headers)
    else:
        answer = await site.act("DELETE", CLEAR, **headers)
    assert answer.status == status
    cleared = status == 304
    assert (mine not in site.cache.kept) is cleared
    assert other in site.cache.kept
    listed = json.loads((await site.get("/", accept="application/json")).body)["files"]
    assert (len(listed) == 2) is cleared


@pytest.mark.parametrize("key", ["", "x"])
async def test_nobody_clears_where_no_key_is_configured(
    autojump_clock: MockClock, key: str
) -> None:
    site = stage("a", api_keys=(API_KEY,))
    for headers in ({}, {"authorization": f"Bearer {key}"}, {"authorization": "Basic x"}):
        assert (await site.get(CLEAR, **headers)).status == 403
        assert (await site.act("DELETE", CLEAR, **headers)).status == 403


async def test_every_clearing_clears(autojump_clock: MockClock) -> None:
    """A question is kept and asked again: here that must do it again."""
    site = stage("a", auth_key="sesame", mount="/web/")
    question = site.site.ask(request("/web" + CLEAR, authorization="Bearer sesame"))
    for _ in range(2):
        await site.get("/web/a")
        assert question.answer_nowait() is None
        assert (await question.answer()).status == 304
        assert not site.cache.kept


async def test_only_get_and_delete_clear(autojump_clock: MockClock) -> None:
    site = stage("a", auth_key="sesame")
    await site.get("/a")
    answer = await site.get(CLEAR, "HEAD", authorization="Bearer sesame")
    assert (answer.status, header(answer, "allow")) == (405, "GET, DELETE")
    assert (await site.act("POST", CLEAR, authorization="Bearer sesame")).status == 405
    assert site.cache.kept
