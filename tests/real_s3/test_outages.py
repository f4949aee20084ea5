"""S3 fails in every way it can while clients ask; nothing is lost and nobody is told a lie."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from tests.real_s3.faults import FaultyFront, Mode, faulty_front
from tests.real_s3.rgw import Rgw, running_rgw
from tests.real_s3.serving import serving, settings

MANIFEST = ".parparchik/files.json"
FAILURES = [mode for mode in get_args(Mode) if mode != "pass"]
IMPATIENT = {
    "PARPARCHIK_VERIFY_TTL": "0",
    "PARPARCHIK_NEGATIVE_TTL": "0",
    "PARPARCHIK_PROBE_TIMEOUT": "0.5",
    "PARPARCHIK_S3_RETRIES": "0",
    "PARPARCHIK_MANIFEST_WINDOW": "0.1",
}


@pytest.fixture
def front(rgw: Rgw) -> Iterator[FaultyFront]:
    with faulty_front(rgw.endpoint) as front:
        yield front


def manifest_of(rgw: Rgw, bucket: str) -> tuple[str, bytes]:
    """(ETag, bytes) of the manifest, asked for behind everybody's back."""
    with rgw.client() as s3:
        answer: dict[str, Any] = s3.get_object(Bucket=bucket, Key=MANIFEST)
        return answer["ETag"], answer["Body"].read()


@pytest.mark.real_s3
@pytest.mark.parametrize("verify", ["ttl", "always"])
@pytest.mark.parametrize("mode", FAILURES)
def test_an_outage_takes_nothing_away(
    rgw: Rgw, front: FaultyFront, mode: Mode, verify: str
) -> None:
    first = rgw.create_bucket({f"a{n}": b"x" for n in range(5)})
    second = rgw.create_bucket({f"b{n}": b"x" for n in range(5)})
    environ = settings(rgw, f"{first},{second}") | IMPATIENT
    environ |= {"S3_ENDPOINT": front.endpoint, "PARPARCHIK_VERIFY": verify}
    with serving(environ) as server:
        known = server.keys()
        before = manifest_of(rgw, first), manifest_of(rgw, second)
        puts = front.count("PUT")

        front.mode = mode
        for _ in range(3):
            for key in known:
                answer = server.file(first, key)
                assert answer.status_code == 302
                assert answer.headers["x-parparchik-verified"] == "stale"
            unknown = server.file(second, "nobody knows")
            assert unknown.status_code == (502 if mode == "403" else 503)
            assert ("retry-after" in unknown.headers) == (mode != "403")
        assert server.get("/list?sync=true").status_code in {502, 503}
        assert server.get("/update?filename=a1").status_code in {502, 503}
        assert server.http.post(f"{server.url}/relocate?filename=a1").status_code in {502, 503}
        assert server.keys() == known
        assert server.get("/healthcheck").status_code == 200

        front.mode = "pass"
        front.release()
        server.until(lambda: server.file(second, "nobody knows").status_code == 404)
        server.until(lambda: server.file(first, "a1").headers["x-parparchik-verified"] == "fresh")
        assert front.count("PUT") == puts
    assert (manifest_of(rgw, first), manifest_of(rgw, second)) == before


@pytest.mark.real_s3
def test_start_while_s3_is_away_and_ready_when_it_comes() -> None:
    with running_rgw() as rgw:
        bucket = rgw.create_bucket({"file": b"x"})
        rgw.gateway.stop_radosgw()
        with serving(settings(rgw, bucket) | IMPATIENT, ready=False) as server:
            assert server.get("/healthcheck").status_code == 200
            assert server.get("/readiness").status_code == 503
            assert server.file(bucket, "file").status_code == 503
            rgw.gateway.start_radosgw()
            server.until_ready()
            assert server.file(bucket, "file").status_code == 302
            with rgw.gateway.hung():
                assert server.file(bucket, "file").headers["x-parparchik-verified"] == "stale"
                assert server.get("/readiness").status_code == 200


@pytest.mark.real_s3
@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b'{"version":2,"files":[]}', b"null"])
def test_a_manifest_that_is_garbage_is_kept_aside(rgw: Rgw, garbage: bytes) -> None:
    bucket = rgw.create_bucket({"one": b"1", "two": b"2", MANIFEST: garbage})
    with serving(settings(rgw, bucket) | IMPATIENT) as server:
        assert server.keys() == ["one", "two"]
        with rgw.client() as s3:
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=MANIFEST + ".")["Contents"]
            [aside] = [item["Key"] for item in listed]
            assert s3.get_object(Bucket=bucket, Key=aside)["Body"].read() == garbage
        assert b'"key":"two"' in manifest_of(rgw, bucket)[1]
        assert server.file(bucket, aside).status_code == 404


@pytest.mark.real_s3
def test_garbage_is_not_overwritten_by_nothing(rgw: Rgw) -> None:
    bucket = rgw.create_bucket({MANIFEST: b"garbage"})
    with serving(settings(rgw, bucket) | IMPATIENT) as server:
        assert server.keys() == []
        assert server.process.end(signal.SIGTERM) == 0
    assert manifest_of(rgw, bucket)[1] == b"garbage"


@pytest.mark.real_s3
def test_two_processes_write_one_manifest_and_lose_nothing(rgw: Rgw) -> None:
    bucket = rgw.create_bucket()
    environ = settings(rgw, bucket) | IMPATIENT
    with serving(environ) as one, serving(environ) as other, rgw.client() as s3:
        names = [f"file-{n:02}" for n in range(30)]
        for n, name in enumerate(names):
            s3.put_object(Bucket=bucket, Key=name, Body=b"x")
            assert (one, other)[n % 2].file(bucket, name).status_code == 302

        def written() -> bool:
            manifest = manifest_of(rgw, bucket)[1]
            return all(f'"key":"{name}"'.encode() in manifest for name in names)

        one.until(written)
        s3.delete_object(Bucket=bucket, Key="file-00")
        assert one.file(bucket, "file-00").status_code == 404
        one.until(lambda: b"file-00" not in manifest_of(rgw, bucket)[1])
        assert len(manifest_of(rgw, bucket)[1].splitlines()) == 2 + len(names) - 1


@pytest.mark.real_s3
def test_killed_while_it_writes_the_manifest(rgw: Rgw, front: FaultyFront) -> None:
    bucket = rgw.create_bucket({"old": b"x"})
    environ = settings(rgw, bucket) | IMPATIENT | {"S3_ENDPOINT": front.endpoint}
    with serving(environ) as server:
        before = manifest_of(rgw, bucket)
        front.hold_puts = True
        with rgw.client() as s3:
            s3.put_object(Bucket=bucket, Key="new", Body=b"x")
        assert server.file(bucket, "new").status_code == 302
        assert front.held.wait(20)
        os.kill(server.process.process.pid, signal.SIGKILL)
        server.process.wait()
    assert manifest_of(rgw, bucket) == before
    front.hold_puts = False
    front.release()
    with serving(environ) as server:
        assert server.keys() == ["old"]
        assert server.file(bucket, "new").status_code == 302
        server.until(lambda: b'"key":"new"' in manifest_of(rgw, bucket)[1])


@pytest.mark.real_s3
def test_the_last_change_is_written_at_shutdown(rgw: Rgw) -> None:
    bucket = rgw.create_bucket({"old": b"x"})
    environ = settings(rgw, bucket) | IMPATIENT | {"PARPARCHIK_MANIFEST_WINDOW": "600"}
    with serving(environ) as server, rgw.client() as s3:
        s3.put_object(Bucket=bucket, Key="new", Body=b"x")
        assert server.file(bucket, "new").status_code == 302
        assert b'"key":"new"' not in manifest_of(rgw, bucket)[1]
        assert server.process.end(signal.SIGTERM) == 0
    assert b'"key":"new"' in manifest_of(rgw, bucket)[1]
