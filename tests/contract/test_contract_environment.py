"""CONTRACT, environment: every variable, as existing deployments set them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from parparchik.config import load
from parparchik.errors import ConfigError
from tests.contract.scene import Scene, serving

NAMES = {"PARPARCHIK_BUCKETS": "files"}


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_none_of_it_set_is_exit_2_and_says_what_to_set() -> None:
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "parparchik", "serve"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    for name in (
        "PARPARCHIK_BUCKETS",
        "PARPARCHIK_PUBLIC_BUCKET",
        "PARPARCHIK_PRIVATE_BUCKET",
    ):
        assert name in ended.stderr


def test_defaults() -> None:
    config = load(NAMES).config
    (only,) = config.buckets
    assert (only.bucket.manifest_key, only.bucket.public) == (".parparchik/files.json", False)
    assert (only.endpoint.region, only.endpoint.url) == ("us-east-1", None)
    assert (config.server.host, config.server.port) == ("0.0.0.0", 8080)
    assert config.routes.presign_expires_s == 3600
    assert (config.routes.strict, config.routes.list_sync) == (False, False)


@pytest.mark.parametrize(
    ("given", "manifest_key", "public"),
    [
        ("files", ".parparchik/files.json", False),
        ("files:", ".parparchik/files.json", False),
        ("files::", ".parparchik/files.json", False),
        ("files:own/m.json", "own/m.json", False),
        ("files::public", ".parparchik/files.json", True),
        ("files:own/m.json:public", "own/m.json", True),
        ("files::private", ".parparchik/files.json", False),
        ("files::Public", ".parparchik/files.json", False),
        ("files::true", ".parparchik/files.json", False),
        (" files : own/m.json : public ", "own/m.json", True),
    ],
)
def test_a_bucket_and_what_may_follow_its_name(given: str, manifest_key: str, public: bool) -> None:
    (only,) = load({"PARPARCHIK_BUCKETS": given}).config.buckets
    bucket = only.bucket
    assert (bucket.name, bucket.manifest_key, bucket.public) == ("files", manifest_key, public)


async def test_the_order_of_the_buckets_is_their_priority(scene: Scene) -> None:
    for bucket in (scene.first, scene.second):
        scene.put(bucket, "both")
    for named in ((scene.first, scene.second), (scene.second, scene.first)):
        async with serving(scene.environ | {"PARPARCHIK_BUCKETS": ",".join(named)}) as server:
            assert (await server.entries())["both"]["bucket"] == named[0]


async def test_two_variables_public_first_and_their_manifest_key(scene: Scene) -> None:
    environ = scene.environ | {
        "PARPARCHIK_PUBLIC_BUCKET": scene.first,
        "PARPARCHIK_PRIVATE_BUCKET": scene.second,
        "PARPARCHIK_REGISTRY_MANIFEST_KEY": "registry/manifest.json",
    }
    del environ["PARPARCHIK_BUCKETS"]
    for bucket in (scene.first, scene.second):
        scene.put(bucket, "both")
    async with serving(environ) as server:
        status = (await server.get("/status")).json()
        assert status["buckets"] == [
            {"name": scene.first, "manifest_key": "registry/manifest.json", "public": True},
            {"name": scene.second, "manifest_key": "registry/manifest.json", "public": False},
        ]
        assert (status["public_bucket"], status["private_bucket"]) == (scene.first, scene.second)
        assert (await server.entries()).keys() == {"both"}
        assert (await server.entries())["both"]["bucket_type"] == "public"
    assert scene.manifest(scene.first, "registry/manifest.json")["bucket"] == scene.first
    assert scene.get(scene.first, ".parparchik/files.json") is None


@pytest.mark.parametrize("missing", ["PARPARCHIK_PUBLIC_BUCKET", "PARPARCHIK_PRIVATE_BUCKET"])
def test_two_variables_are_needed_both(missing: str) -> None:
    environ = {"PARPARCHIK_PUBLIC_BUCKET": "open", "PARPARCHIK_PRIVATE_BUCKET": "shut"}
    del environ[missing]
    with pytest.raises(ConfigError, match=f"{missing} is not set"):
        load(environ)


async def test_region_and_credentials_sign(scene: Scene) -> None:
    scene.put(scene.second, "k")
    environ = scene.environ | {
        "AWS_REGION": "ap-south-2",
        "AWS_ACCESS_KEY_ID": "ASIATEMPORARY",
        "AWS_SESSION_TOKEN": "a/session+token==",
    }
    async with serving(environ) as server:
        assert (await server.get("/status")).json()["region"] == "ap-south-2"
        signed = query((await server.file("private", "k")).headers["location"])
    key_id, _, region, service, _ = signed["X-Amz-Credential"].split("/")
    assert (key_id, region, service) == ("ASIATEMPORARY", "ap-south-2", "s3")
    assert signed["X-Amz-Security-Token"] == "a/session+token=="


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("minio:9000", "http://minio:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("http://minio:9000", "http://minio:9000"),
        ("https://s3.example.org", "https://s3.example.org"),
        ("https://s3.example.org/behind/a/path/", "https://s3.example.org/behind/a/path"),
        ("", None),
    ],
)
def test_endpoint(given: str, url: str | None) -> None:
    (bucket,) = load(NAMES | {"S3_ENDPOINT": given}).config.buckets
    assert bucket.endpoint.url == url


@pytest.mark.parametrize(
    ("external", "begins"),
    [
        ("files.example.org:9000", "http://files.example.org:9000"),
        ("https://files.example.org", "https://files.example.org"),
        ("", "http://{internal}"),
    ],
)
async def test_clients_are_sent_to_the_external_endpoint(
    scene: Scene, external: str, begins: str
) -> None:
    scene.put(scene.first, "open")
    scene.put(scene.second, "shut")
    async with serving(scene.environ | {"S3_EXTERNAL_ENDPOINT": external}) as server:
        plain = (await server.file(scene.first, "open")).headers["location"]
        signed = (await server.file(scene.second, "shut")).headers["location"]
    origin = begins.format(internal=scene.endpoint)
    assert plain == f"{origin}/{scene.first}/open"
    assert signed.startswith(f"{origin}/{scene.second}/shut?X-Amz-Algorithm=AWS4-HMAC-SHA256&")


async def test_host_and_port(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environ = scene.environ | {"PARPARCHIK_HOST": "127.0.0.1", "PARPARCHIK_PORT": str(port)}
    async with serving(environ) as server:
        assert server.url == f"http://127.0.0.1:{port}"
