"""filetracker's own client against us, unchanged: put, get, size, version, list, delete, and its
cache. It is no dependency of ours: where it is not installed, these tests are skipped by name.

    pip install --no-deps filetracker==2.3.3; pip install requests six
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from tests.cli.conftest import bare_environment, buckets, moto_endpoint
from tests.cli.moto_buckets import Buckets
from tests.contract.scene import Scene, serving

stock = pytest.importorskip("filetracker.client", reason="filetracker's client is not installed")

__all__ = ["bare_environment", "buckets", "moto_endpoint"]

KEY = "a-key-that-nobody-guesses"

T = TypeVar("T")

# Its requests session is closed by nobody.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Client:
    """It blocks: every call is made in a thread."""

    def __init__(self, url: str, cache: Path | None) -> None:
        local: Mapping[str, Any] = {"local_store": None} if cache is None else {}
        self._client = stock.Client(
            remote_url=url,
            cache_dir=None if cache is None else str(cache),
            lock_manager="auto" if cache else None,
            **local,
        )

    async def call(self, name: str, *args: object, **kwargs: object) -> Any:
        with trio.fail_after(30):
            return await trio.to_thread.run_sync(
                partial(getattr(self._client, name), *args, **kwargs)
            )


Connect = Callable[..., Client]


@pytest.fixture(params=["/ft/", "/"], ids=["mounted", "at the root"])
def mount(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@asynccontextmanager
async def running(
    buckets: Buckets, tmp_path: Path, mount: str = "/ft/", **more: str
) -> AsyncIterator[str]:
    scene = Scene(buckets.endpoint, buckets.public, buckets.private)
    environ = scene.environ | {
        "PARPARCHIK_DEDUP_BUCKET": scene.create("dedup"),
        "PARPARCHIK_DEDUP_PREFIX": f"{tmp_path.name}/",
        "PARPARCHIK_DEDUP_METADATA": f"sqlite:///{tmp_path}/files.db",
        "PARPARCHIK_DEDUP_MOUNT": mount,
        **more,
    }
    async with serving(environ) as server:
        yield server.url.rstrip("/") + mount.rstrip("/")


async def test_what_is_put_is_got(buckets: Buckets, tmp_path: Path, mount: str) -> None:
    data = os.urandom(300_000) + bytes(300_000)
    (tmp_path / "source").write_bytes(data)
    async with running(buckets, tmp_path, mount) as url:
        client = Client(url, tmp_path / "cache")
        began_s = int(time.time())
        name = await client.call("put_file", "/a/b", str(tmp_path / "source"))
        path, _, version = name.partition("@")
        assert path == "/a/b"
        assert began_s <= int(version) <= time.time()  # it says when it stored it
        other = Client(url, tmp_path / "other cache")
        for _ in range(2):  # from the server, then from its cache
            got = await other.call("get_file", "/a/b", str(tmp_path / "got"))
            assert got == name
            assert (tmp_path / "got").read_bytes() == data
        await other.call("get_file", name, str(tmp_path / "again"))  # from its cache alone
        assert (tmp_path / "again").read_bytes() == data
        assert await other.call("file_version", "/a/b") == int(version)
        assert await other.call("file_size", "/a/b", force_refresh=True) == len(data)
        assert await Client(url, None).call("file_size", "/a/b") == len(data)
        stream, streamed = await Client(url, None).call("get_stream", "/a/b")
        assert streamed == name
        assert await trio.to_thread.run_sync(stream.read) == data


@pytest.mark.parametrize("compress", [True, False])
async def test_compressed_by_the_client_or_by_us(
    buckets: Buckets, tmp_path: Path, compress: bool
) -> None:
    (tmp_path / "source").write_bytes(b"text " * 1000)
    async with running(buckets, tmp_path) as url:
        client = Client(url, None)
        source = str(tmp_path / "source")
        await client.call("put_file", "/t@17", source, compress_hint=compress)
        assert await client.call("get_file", "/t", str(tmp_path / "got")) == "/t@17"
        assert (tmp_path / "got").read_bytes() == b"text " * 1000


async def test_a_slash_behind_the_servers_url_is_none_too_many(
    buckets: Buckets, tmp_path: Path, mount: str
) -> None:
    (tmp_path / "source").write_bytes(b"x")
    async with running(buckets, tmp_path, mount) as url:
        client = Client(url + "/", None)
        await client.call("put_file", "/a@5", str(tmp_path / "source"))
        assert await client.call("file_version", "/a") == 5
        assert await client.call("list_remote_files") == ["a"]


async def test_lists_and_versions(buckets: Buckets, tmp_path: Path, mount: str) -> None:
    async with running(buckets, tmp_path, mount) as url:
        client = Client(url, None)
        assert await client.call("list_remote_files") == []
        (tmp_path / "source").write_bytes(b"x")
        for name in ("/ż/ó łć@10", "/ż/z@20", "/a@0", "/zz@30"):
            await client.call("put_file", name, str(tmp_path / "source"))
        listed = partial(client.call, "list_remote_files")
        assert await listed() == ["a", "zz", "ż/z", "ż/ó łć"]
        assert await listed(20) == ["a", "ż/z", "ż/ó łć"]
        assert await listed(subpath="/ż") == ["z", "ó łć"]
        assert await listed(subpath="/ż/", absolute_paths=True) == ["ż/z", "ż/ó łć"]
        assert await listed(subpath="/nothing") == []
        with pytest.raises(stock.FiletrackerError, match="a is a file"):
            await listed(subpath="/a")


async def test_older_versions_change_nothing(buckets: Buckets, tmp_path: Path) -> None:
    async with running(buckets, tmp_path) as url:
        client = Client(url, None)
        for version, data in ((20, b"new"), (10, b"old")):
            (tmp_path / "source").write_bytes(data)
            name = await client.call("put_file", f"/a@{version}", str(tmp_path / "source"))
            assert name == "/a@20"
        await client.call("delete_file", "/a@19")
        assert await client.call("get_file", "/a", str(tmp_path / "got")) == "/a@20"
        assert (tmp_path / "got").read_bytes() == b"new"
        await client.call("delete_file", "/a@20")
        with pytest.raises(stock.FiletrackerError, match="HTTP/404"):
            await client.call("get_file", "/a", str(tmp_path / "got"))
        with pytest.raises(stock.FiletrackerError, match="HTTP/404: there is no file a"):
            await client.call("delete_file", "/a@20")


async def test_a_conflict_is_told(buckets: Buckets, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    async with running(buckets, tmp_path) as url:
        client = Client(url, None)
        await client.call("put_file", "/a@1", str(tmp_path / "source"))
        with pytest.raises(stock.FiletrackerError, match="HTTP/409"):
            await client.call("put_file", "/a/b@1", str(tmp_path / "source"))


async def test_a_key_goes_as_the_password_in_the_servers_url(
    buckets: Buckets, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"x")
    async with running(buckets, tmp_path, PARPARCHIK_API_KEYS=KEY) as url:
        for wrong in (url, url.replace("://", "://user:guessed@")):
            with pytest.raises(stock.FiletrackerError, match="HTTP/401"):
                await Client(wrong, None).call("put_file", "/a@1", str(tmp_path / "source"))
        client = Client(url.replace("://", f"://user:{KEY}@"), None)
        assert await client.call("put_file", "/a@1", str(tmp_path / "source")) == "/a@1"
        assert await client.call("list_remote_files") == ["a"]
