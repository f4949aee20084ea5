"""Clients that ask too often, and requests that are part of a trace, on the web plane's sockets."""

from __future__ import annotations

import io
import re

import msgspec

from parparchik.access import AccessLog, JSONLines, RateLimiter, TrustedProxies
from parparchik.config.model import AuthConfig, LimitsConfig
from parparchik.metrics import Traffic
from parparchik.model import Answer, Question, Request, Upload
from parparchik.routes import Authenticator
from parparchik.web import Place
from parparchik.web.endpoints import ENDPOINTS
from tests.edge.conftest import until
from tests.web.conftest import StartWeb

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def limiter(burst: int) -> RateLimiter:
    return RateLimiter(
        LimitsConfig(0.1, burst),
        TrustedProxies([]),
        Authenticator(AuthConfig(("known-key",))),
        now=lambda: 3.0,
    )


class Store:
    """Takes what it is sent."""

    methods = ("GET", "HEAD", "PUT")
    read = 0

    def ask(self, request: Request) -> Question:
        raise AssertionError

    async def act(self, request: Request, upload: Upload) -> Answer:
        while piece := await upload.read():
            self.read += len(piece)
        return Answer(204)


async def test_routes_mounts_and_management_count_alike(start_web: StartWeb) -> None:
    store = Store()
    web = await start_web(limiter=limiter(3), places=[Place("", "/store/", store)])
    assert (await web.ask("GET", "/photos/a")).status == 302
    assert (await web.ask("GET", "/status")).status == 200
    assert (await web.ask("PUT", "/store/a", ["Content-Length: 4"], b"data")).status == 204
    for method, target in (("GET", "/photos/a"), ("GET", "/status"), ("POST", "/relocate")):
        refused = await web.ask(method, target)
        assert (refused.status, refused.json) == (429, {"error": "too many requests"})
        assert refused.header("retry-after") == "10"
        assert refused.header("cache-control") == "no-store"
    refused = await web.ask("PUT", "/store/a", ["Content-Length: 4"], b"data")
    assert refused.status == 429
    assert store.read == 4
    # Whoever has a key that is known is another client.
    assert (await web.ask("GET", "/photos/a", ["X-API-Key: known-key"])).status == 302
    assert (await web.ask("GET", "/photos/a", ["X-API-Key: made-up"])).status == 429
    await until(lambda: ("other", 429, 5) in web.traffic.requests())


async def test_whoever_waits_to_send_is_refused_before_it_does(start_web: StartWeb) -> None:
    web = await start_web(limiter=limiter(1), places=[Place("", "/store/", Store())])
    expects = ["Content-Length: 4", "Expect: 100-continue"]
    assert (await web.ask("GET", "/photos/a")).status == 302
    assert (await web.ask("PUT", "/store/a", expects)).status == 429


async def test_watchers_over_the_process_and_peers_are_never_refused(start_web: StartWeb) -> None:
    web = await start_web(limiter=limiter(1))
    assert (await web.ask("GET", "/photos/a")).status == 302
    free = {"/healthcheck", "/helthcheck", "/readiness", "/redines", "/health", "/metrics"}
    free.add("/cache/forget")
    for endpoint in ENDPOINTS:
        for path in endpoint.paths:
            refused = (await web.ask(endpoint.methods[0], path)).status == 429
            assert refused is (path not in free), path


async def test_a_trace_is_logged_and_passed_on(start_web: StartWeb) -> None:
    stream, passed_on = io.StringIO(), list[str]()
    access = AccessLog(Traffic(), JSONLines(stream, str), None, passed_on.append)
    web = await start_web(access=access)
    for target in ("/photos/a", "/status"):
        await web.ask("GET", target, [f"traceparent: 00-{TRACE}-{SPAN}-00"])
        await web.ask("GET", target, ["traceparent: nonsense"])
    await until(lambda: stream.getvalue().count("\n") == 4)
    lines = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    said = [(line.get("trace_id"), line.get("span_id")) for line in lines]
    assert said == [(TRACE, SPAN), (None, None)] * 2
    assert len(passed_on) == 2
    assert all(re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-00", one) for one in passed_on)
