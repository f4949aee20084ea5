"""The main job on real input: curl follows our redirects to an S3 that checks every signature."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from tests.real_s3.odd_keys import ODD_KEYS
from tests.real_s3.rgw import Rgw
from tests.real_s3.serving import Server, serving, settings

API_KEY = "an-api-key-that-nobody-guesses"


@dataclass(frozen=True)
class Scene:
    server: Server
    public: str
    private: str
    rgw: Rgw

    def curl(self, *arguments: str) -> tuple[int, bytes]:
        """(status of the last answer, its body)."""
        command = ["curl", "-sSL", "--path-as-is", "-g", "-w", "\n%{http_code}", *arguments]
        output = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
        body, _, status = output.rpartition(b"\n")
        return int(status), body


@pytest.fixture(scope="module")
def scene(rgw: Rgw) -> Iterator[Scene]:
    public = rgw.create_public_bucket(
        {"both": b"public both", "only-public": b"public", "moves": b"here"}
    )
    private = rgw.create_bucket(
        {
            "both": b"private both",
            "only-private": b"private",
            **{key: key.encode() for key in ODD_KEYS.values()},
        }
    )
    environ = settings(rgw, f"{public}::public,{private}") | {"PARPARCHIK_VERIFY_TTL": "0"}
    with serving(environ) as server:
        yield Scene(server, public, private, rgw)


@pytest.mark.real_s3
@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_curl_follows_to_every_odd_key(scene: Scene, key: str) -> None:
    url = f"{scene.server.url}/{scene.private}/{quote(key, safe='/')}"
    assert scene.curl(url) == (200, key.encode())
    status, headers = scene.curl("-I", url)
    assert status == 200
    assert f"Content-Length: {len(key.encode())}".lower().encode() in headers.lower()


@pytest.mark.real_s3
def test_public_redirects_are_plain_and_work_for_anybody(scene: Scene) -> None:
    answer = scene.server.file(scene.public, "only-public")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{scene.rgw.endpoint}/{scene.public}/only-public"
    assert scene.curl(f"{scene.server.url}/public/only-public") == (200, b"public")


@pytest.mark.real_s3
def test_the_first_bucket_wins_and_moved_files_are_found(scene: Scene) -> None:
    assert scene.curl(f"{scene.server.url}/{scene.private}/both") == (200, b"public both")
    with scene.rgw.client() as s3:
        s3.put_object(Bucket=scene.private, Key="moves", Body=b"there")
        s3.delete_object(Bucket=scene.public, Key="moves")
    assert scene.curl(f"{scene.server.url}/{scene.public}/moves") == (200, b"there")
    with scene.rgw.client() as s3:
        s3.delete_object(Bucket=scene.private, Key="moves")
    status, body = scene.curl(f"{scene.server.url}/{scene.public}/moves")
    assert (status, body) == (
        404,
        f'{{"error":"file not found","route":"/{scene.public}/moves"}}'.encode(),
    )


@pytest.mark.real_s3
def test_a_redirect_for_get_is_no_permission_for_head(scene: Scene) -> None:
    get = scene.server.file(scene.private, "only-private")
    head = scene.server.file(scene.private, "only-private", "HEAD")
    assert scene.server.http.head(get.headers["location"]).status_code == 403
    assert scene.server.http.head(head.headers["location"]).status_code == 200


@pytest.mark.real_s3
def test_a_file_uploaded_later_is_found_and_remembered(scene: Scene) -> None:
    with scene.rgw.client() as s3:
        s3.put_object(Bucket=scene.private, Key="later", Body=b"came later")
    located = scene.server.get("/update?filename=later").json()
    assert located["message"] == "file located"
    assert located["file"]["route"] == f"/{scene.private}/later"
    with scene.rgw.client() as s3:  # answered after the manifest has it
        manifest = s3.get_object(Bucket=scene.private, Key=".parparchik/files.json")["Body"].read()
    assert b'"key":"later"' in manifest
    assert scene.curl(f"{scene.server.url}/{scene.private}/later") == (200, b"came later")


@pytest.mark.real_s3
def test_relocate_prefers_the_first_bucket_and_says_so(scene: Scene) -> None:
    with scene.rgw.client() as s3:
        s3.put_object(Bucket=scene.private, Key="relocated", Body=b"old")
    assert scene.server.file(scene.private, "relocated").status_code == 302
    with scene.rgw.client() as s3:
        s3.put_object(Bucket=scene.public, Key="relocated", Body=b"new")
    answer = scene.server.http.post(f"{scene.server.url}/relocate?filename=relocated").json()
    assert answer["status"] == "ok"
    assert (answer["relocated_from"], answer["relocated_to"]) == (scene.private, scene.public)
    assert answer["duplicate"] is True
    assert scene.curl(f"{scene.server.url}/{scene.private}/relocated") == (200, b"new")


@pytest.mark.real_s3
def test_who_may_not_list_is_told_what_to_grant(rgw: Rgw) -> None:
    bucket = rgw.create_bucket({"there": b"x"})
    rgw.allow(bucket, "s3:GetObject", "s3:PutObject")
    environ = settings(rgw, bucket, user=rgw.guest)
    with serving(environ, ready=False) as server:
        assert server.file(bucket, "there").status_code == 302
        missing = server.file(bucket, "not-there")
        assert missing.status_code == 502
        assert "s3:ListBucket" in missing.json()["error"]
    with serving(environ | {"PARPARCHIK_DENIED_IS_MISSING": "true"}) as server:
        assert server.file(bucket, "there").status_code == 302
        assert server.file(bucket, "not-there").status_code == 404


@pytest.mark.real_s3
def test_no_secret_in_anything_that_a_run_prints(rgw: Rgw) -> None:
    bucket = rgw.create_bucket({"file": b"x"})
    environ = settings(rgw, bucket) | {
        "PARPARCHIK_API_KEYS": API_KEY,
        "PARPARCHIK_LOG_LEVEL": "debug",
    }
    shown = []
    with serving(environ) as server:
        server.http.headers["authorization"] = f"Bearer {API_KEY}"
        location = server.file(bucket, "file").headers["location"]
        signature = location.partition("X-Amz-Signature=")[2]
        assert len(signature) == 64
        server.get(f"/{bucket}/file?X-Amz-Signature={signature}&api_key={API_KEY}")
        server.get(f"/status?key={API_KEY}")
        shown += [server.get(path).text for path in ("/status", "/list", "/metrics", "/nothing")]
        assert server.process.end(signal.SIGTERM) == 0
        shown.append(server.process.output)
    for text in shown:
        for secret in (API_KEY, rgw.owner.secret_access_key, signature):
            assert secret not in text
