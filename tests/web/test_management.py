"""The management API as its clients know it, over a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parparchik.errors import Denied, NoCredentials, ParparchikError, Unavailable
from parparchik.model import Bucket, Entry
from parparchik.registry import ManifestUnread, PersistFailed

if TYPE_CHECKING:
    from tests.web.conftest import StartWeb, Web

PUBLIC = Bucket("photos", public=True)
PRIVATE = Bucket("vault", manifest_key="state/files.json")
CAT = Entry("кот/cat 1.jpg", PUBLIC, size_bytes=1_048_576, last_modified_s=1_777_975_200)
CAT_JSON = {
    "key": "кот/cat 1.jpg",
    "bucket": "photos",
    "bucket_type": "public",
    "route": "/photos/кот/cat 1.jpg",
    "size": 1_048_576,
    "last_modified": "2026-05-05T10:00:00Z",
}
CAT_QUERY = "filename=%D0%BA%D0%BE%D1%82/cat+1.jpg"


async def test_status(web: Web) -> None:
    web.service.entries = {CAT.key: CAT}
    reply = await web.ask("GET", "/status")
    assert reply.status == 200
    assert reply.header("content-type") == "application/json"
    assert reply.header("cache-control") == "no-store"
    assert reply.json == {
        "status": "ok",
        "buckets": [
            {"name": "photos", "manifest_key": ".parparchik/files.json", "public": True},
            {"name": "vault", "manifest_key": "state/files.json", "public": False},
        ],
        "region": "eu-west-1",
        "ready": True,
        "file_count": 1,
        "public_bucket": "photos",
        "private_bucket": "vault",
    }


async def test_status_of_a_single_bucket(start_web: StartWeb) -> None:
    web = await start_web(buckets=(PRIVATE,))
    status = (await web.ask("GET", "/status")).json
    assert (status["public_bucket"], status["private_bucket"]) == ("vault", None)


@pytest.mark.parametrize("path", ["/readiness", "/redines"])
async def test_readiness(web: Web, path: str) -> None:
    web.service.entries = {CAT.key: CAT}
    reply = await web.ask("GET", path)
    assert (reply.status, reply.json) == (200, {"status": "ready", "ready": True, "file_count": 1})
    web.readiness.because = "the buckets are being read: 3 of 9"
    reply = await web.ask("GET", path)
    assert reply.status == 503
    assert reply.json == {
        "status": "not_ready",
        "ready": False,
        "file_count": 1,
        "reason": "the buckets are being read: 3 of 9",
    }


@pytest.mark.parametrize("path", ["/healthcheck", "/helthcheck"])
async def test_healthcheck_lives_whether_ready_or_not(web: Web, path: str) -> None:
    for because, ready in ((None, True), ("starting", False)):
        web.readiness.because = because
        reply = await web.ask("GET", path)
        assert (reply.status, reply.json) == (200, {"status": "ok", "ready": ready})


async def test_update(web: Web) -> None:
    web.service.entries = {CAT.key: CAT}
    reply = await web.ask("GET", f"/update?{CAT_QUERY}")
    assert (reply.status, reply.json) == (200, {"message": "file located", "file": CAT_JSON})
    reply = await web.ask("GET", "/update?filename=dog%2Fx&filename=second")
    assert reply.status == 404
    assert reply.json == {"error": "file not found", "filename": "dog/x"}


@pytest.mark.parametrize("query", ["", "?", "?filename=", "?file=x", "?filename"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/update"), ("POST", "/relocate")])
async def test_a_filename_is_needed(web: Web, method: str, path: str, query: str) -> None:
    reply = await web.ask(method, path + query)
    assert reply.status == 400
    assert reply.json["error"] == "missing 'filename' query parameter"


@pytest.mark.parametrize("query", ["filename=%ff", "filename=a%00b", "filename=a/../b"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/update"), ("POST", "/relocate")])
async def test_a_filename_that_is_no_key_is_refused(
    web: Web, method: str, path: str, query: str
) -> None:
    reply = await web.ask(method, f"{path}?{query}")
    assert reply.status == 400
    assert reply.json["error"]


async def test_relocate(web: Web) -> None:
    reply = await web.ask("POST", f"/relocate?{CAT_QUERY}", ["Content-Length: 0"])
    assert reply.status == 404
    assert reply.json == {
        "status": "fail",
        "error": "file not found in any bucket",
        "filename": CAT.key,
    }
    web.service.move(CAT)
    reply = await web.ask("POST", f"/relocate?{CAT_QUERY}")
    assert (reply.status, reply.json) == (200, {"status": "ok", "file": CAT_JSON})
    web.service.move(CAT, relocated_from="vault", relocated_to="photos", duplicate=True, note="n")
    assert (await web.ask("POST", f"/relocate?{CAT_QUERY}")).json == {
        "status": "ok",
        "file": CAT_JSON,
        "relocated_from": "vault",
        "relocated_to": "photos",
        "duplicate": True,
        "note": "n",
    }


@pytest.mark.parametrize(("method", "path"), [("GET", "/update"), ("POST", "/relocate")])
async def test_manifests_that_cannot_be_written(web: Web, method: str, path: str) -> None:
    web.service.failure = PersistFailed("bucket 'vault' refuses")
    reply = await web.ask(method, f"{path}?filename=a/b")
    assert reply.status == 500
    assert reply.json == {
        "status": "fail",
        "error": "failed to persist manifests",
        "filename": "a/b",
    }


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (Unavailable("S3 does not answer", retry_after_s=7), 503, "7"),
        (NoCredentials("no credentials"), 503, "1"),
        (Denied("grant s3:ListBucket"), 502, None),
    ],
)
@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/update?filename=a"), ("POST", "/relocate?filename=a"), ("GET", "/list?sync=true")],
)
async def test_s3_failures_are_no_absence(
    web: Web,
    method: str,
    target: str,
    failure: ParparchikError,
    status: int,
    retry_after: str | None,
) -> None:
    web.service.failure = failure
    reply = await web.ask(method, target)
    assert reply.status == status
    assert reply.header("retry-after") == retry_after
    assert reply.json["error"] == failure.client_message


async def test_a_crash_shows_no_details(web: Web) -> None:
    web.service.failure = RuntimeError("password=hunter2")
    reply = await web.ask("GET", "/update?filename=a")
    assert (reply.status, reply.json) == (500, {"error": "internal server error"})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/status", "GET, HEAD"),
        ("DELETE", "/list", "GET, HEAD"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
        ("PUT", "/update?filename=a", "GET, HEAD"),
        ("GET", "/relocate?filename=a", "POST"),
        ("HEAD", "/relocate", "POST"),
    ],
)
async def test_wrong_methods(web: Web, method: str, path: str, allow: str) -> None:
    reply = await web.ask(method, path)
    assert reply.status == 405
    assert reply.header("allow") == allow
    if method != "HEAD":
        assert reply.json == {"error": "method not allowed"}


@pytest.mark.parametrize("path", ["/status", "/readiness", "/healthcheck", "/metrics"])
async def test_head_has_the_headers_of_get(web: Web, path: str) -> None:
    got = await web.ask("GET", path, ["X-Request-Id: r"])
    head = await web.ask("HEAD", path, ["X-Request-Id: r"])
    assert head.body == b""
    assert head.header("content-length") == str(len(got.body))
    assert [n for n, _ in head.headers] == [n for n, _ in got.headers]


async def test_metrics_negotiate_by_accept(web: Web) -> None:
    reply = await web.ask("GET", "/metrics", ["Accept: application/openmetrics-text"])
    assert reply.header("content-type") == "text/plain; accepted=application/openmetrics-text"
    assert reply.body == b"up 1\n"


@pytest.mark.parametrize(("method", "path"), [("GET", "/update"), ("POST", "/relocate")])
async def test_before_the_manifests_are_read_asking_again_helps(
    web: Web, method: str, path: str
) -> None:
    web.service.failure = ManifestUnread("the manifest has not been read yet: vault")
    reply = await web.ask(method, f"{path}?filename=a")
    assert reply.status == 503
    assert reply.header("retry-after") == "1"
    assert reply.json["error"] == "the manifest has not been read yet: vault"
