"""CONTRACT, addressing: where a redirect leads, and each key percent-encoded exactly once."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from parparchik.config import load
from parparchik.s3 import Credentials
from parparchik.server import open_stores
from tests.contract.scene import KEYS, Scene, serving
from tests.s3.sigv4_oracle import presigned_query, query_of

# By the S3 rules all but A-Z a-z 0-9 - . _ ~ and the slash is encoded.
ODD = "dir//a b+c%2F=&?#é~(1)!*'@:,;.txt"
ODD_ENCODED = "dir//a%20b%2Bc%252F%3D%26%3F%23%C3%A9~%281%29%21%2A%27%40%3A%2C%3B.txt"
WHO = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])


@pytest.mark.parametrize(
    ("bucket", "given", "url"),
    [
        ("files", {"S3_ENDPOINT": "minio:9000"}, "http://minio:9000/files/"),
        ("my.files", {"S3_ENDPOINT": "minio:9000"}, "http://minio:9000/my.files/"),
        ("files", {}, "https://files.s3.us-east-1.amazonaws.com/"),
        (
            "files",
            {"S3_ENDPOINT": "", "AWS_REGION": "eu-north-1"},
            "https://files.s3.eu-north-1.amazonaws.com/",
        ),
        ("my.files", {"AWS_REGION": "eu-north-1"}, "https://s3.eu-north-1.amazonaws.com/my.files/"),
    ],
)
async def test_path_style_at_custom_endpoints_and_for_dots_else_virtual_host(
    bucket: str, given: dict[str, str], url: str
) -> None:
    environ = KEYS | {"PARPARCHIK_BUCKETS": bucket} | given
    async with open_stores(load(environ).config, environ) as (store,):
        assert store.public_url(ODD) == url + ODD_ENCODED
        signed = store.presign("GET", ODD, expires_s=60).url
        assert signed.partition("?")[0] == url + ODD_ENCODED
    assert_botocore_agrees("GET", signed, environ.get("AWS_REGION", "us-east-1"), 60)


def assert_botocore_agrees(method: str, signed: str, region: str, expires_s: int) -> None:
    query = dict(query_of(signed))
    date = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert query_of(signed) == presigned_query(
        method,
        signed.partition("?")[0],
        credentials=WHO,
        region=region,
        now_s=date.timestamp(),
        expires_s=expires_s,
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_private_redirect_is_signed_for_the_method_and_the_key_encoded_once(
    scene: Scene, method: str
) -> None:
    scene.put(scene.second, ODD, b"odd")
    async with serving(scene.environ) as server:
        answer = await server.http.request(method, f"{server.url}/{scene.second}/{ODD_ENCODED}")
        assert (answer.status_code, answer.content) == (302, b"")
        location = answer.headers["location"]
        followed = await server.http.request(method, location)
    assert (followed.status_code, followed.headers["content-length"]) == (200, "3")
    assert urlsplit(location).path == f"/{scene.second}/{ODD_ENCODED}"
    assert_botocore_agrees(method, location, "us-east-1", 3600)


async def test_a_public_redirect_is_the_plain_url(scene: Scene) -> None:
    scene.put(scene.first, ODD, b"odd")
    async with serving(scene.environ) as server:
        for answer in (await server.file("public", ODD), await server.file(scene.first, ODD)):
            location = answer.headers["location"]
            assert location == f"http://{scene.endpoint}/{scene.first}/{ODD_ENCODED}"


async def test_a_presigned_url_lives_as_long_as_is_set(scene: Scene) -> None:
    scene.put(scene.second, "k")
    async with serving(scene.environ | {"PARPARCHIK_PRESIGN_EXPIRES": "90"}) as server:
        location = (await server.file(scene.second, "k")).headers["location"]
    assert dict(query_of(location))["X-Amz-Expires"] == "90"
