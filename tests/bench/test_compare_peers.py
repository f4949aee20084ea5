"""The peers answer rightly, and a wrong answer is noticed before anybody is timed."""

from __future__ import annotations

import calendar
import importlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import trio

from bench.compare.judge import WrongAnswer, judge, judge_absence
from bench.compare.machine import missing_packages
from bench.compare.programs import REDIRECT, STRICT, Contestant, programs, s3
from bench.compare.running import running
from bench.compare.stage import CREDENTIALS, EXPIRES_S, KEYS, REGION, Stage
from bench.local import make_certificate, share_out
from tests.s3.sigv4_oracle import presigned_query, query_of

NGINX = {"nginx-light", "libnginx-mod-http-lua", "libnginx-mod-http-js"}
NOBODY = Contestant("nobody", "nobody", "signed", "nobody", "nobody")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.furnish()
    return stage


@pytest.fixture
def signing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bench.peers.signing, as it is within a contestant."""
    for name, value in stage.environ().items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module("bench.peers.signing")
    return importlib.reload(module)


@contextmanager
def answering(
    stage: Stage, location: Callable[[str], str], status: int = 302, *, key: Path | None = None
) -> Iterator[None]:
    """A contestant of the test's own; with a `key`, it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", location(self.path))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if key:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(stage.certificate, key)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        stage.ports["nobody"] = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def signed_at(location: str) -> float:
    stamp = location.partition("X-Amz-Date=")[2][:16]
    return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))


def test_what_must_be_sent_is_what_botocore_signs(stage: Stage) -> None:
    for now_s in (1_700_000_000.0, 1_800_000_000.5):
        ours = stage.location(KEYS[0], now_s=now_s)
        assert ours.startswith(f"{stage.s3_url}{stage.path(KEYS[0])}?")
        assert query_of(ours) == sorted(
            presigned_query(
                "GET",
                f"{stage.s3_url}{stage.path(KEYS[0])}",
                credentials=CREDENTIALS,
                region=REGION,
                now_s=now_s,
                expires_s=EXPIRES_S,
            )
        )


def test_the_application_that_signs_by_the_book_signs_rightly(
    stage: Stage, signing: ModuleType
) -> None:
    location = signing.presign(stage.path(KEYS[3]))
    assert location == stage.location(KEYS[3], now_s=signed_at(location))


def test_locations_are_all_as_long_as_each_other(stage: Stage) -> None:
    assert len({len(stage.location(key, now_s=time.time())) for key in KEYS}) == 1
    ports = [stage.port(name) for name in "abcdef"]
    assert len(set(ports)) == 6
    assert {len(str(port)) for port in ports} == {5}


def test_a_right_answer_is_let_pass(stage: Stage, signing: ModuleType) -> None:
    with answering(stage, signing.presign):
        assert judge(NOBODY, stage) == len(stage.location(KEYS[0], now_s=0))


async def test_who_speaks_tls_is_asked_so(stage: Stage, signing: ModuleType) -> None:
    certificate, key = await make_certificate(stage.directory)
    assert certificate == stage.certificate
    with answering(stage, signing.presign, key=key):
        await trio.to_thread.run_sync(judge, replace(NOBODY, tls=True), stage)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda location: location[:-1] + ("0" if location[-1] != "0" else "1"),
        lambda location: location.replace(KEYS[7], KEYS[8]),
        lambda location: location.replace("X-Amz-Date=2", "X-Amz-Date=3"),
        lambda location: location.partition("?")[0],
        lambda location: "",
    ],
    ids=["signature", "key", "another-time", "unsigned", "none"],
)
def test_a_wrong_location_is_noticed(
    stage: Stage, signing: ModuleType, spoil: Callable[[str], str]
) -> None:
    with answering(stage, lambda path: spoil(signing.presign(path))), pytest.raises(WrongAnswer):
        judge(NOBODY, stage)


def test_a_wrong_status_is_noticed(stage: Stage, signing: ModuleType) -> None:
    with answering(stage, signing.presign, status=200), pytest.raises(WrongAnswer, match="200"):
        judge(NOBODY, stage)


def test_who_claims_to_ask_s3_has_to_know_what_is_not_there(
    stage: Stage, signing: ModuleType
) -> None:
    with answering(stage, signing.presign), pytest.raises(WrongAnswer, match="does not have"):
        judge_absence(NOBODY, stage)


@pytest.mark.skipif(
    bool(NGINX & set(missing_packages())), reason=f"needs {', '.join(sorted(NGINX))}"
)
async def test_every_nginx_answers_as_ours_would(stage: Stage) -> None:
    every, processors = programs(stage), share_out().load
    names = ("redirect", "lua", "njs")
    contestants = [each for each in (*REDIRECT, *STRICT) if each.program in names]
    assert len(contestants) == 8
    async with running(s3(stage), processors), AsyncExitStack() as stack:
        for name in names:
            await stack.enter_async_context(running(every[name], processors))
        assert {judge(each, stage) for each in contestants} == {
            len(stage.location(KEYS[0], now_s=0))
        }
        for each in contestants:
            if each.kind == "verified":
                judge_absence(each, stage)


def test_nobody_writes_an_access_log_but_who_says_so(stage: Stage) -> None:
    for program in programs(stage).values():
        if program.argv[0].endswith("nginx"):
            text = (stage.directory / program.name / "nginx.conf").read_text()
            assert "access_log off;" in text
            assert "@" not in text.replace("two @", "")
        elif "parparchik" in program.argv:
            expected = "true" if program.name == "ours-log" else "false"
            assert program.environ["PARPARCHIK_ACCESS_LOG"] == expected
