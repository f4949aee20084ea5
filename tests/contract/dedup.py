"""The dedup store, set up as an operator does it and asked as filetracker's clients ask it."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.contract.scene import Scene, Server, serving

BUCKET = "dedup"


def environ_of(scene: Scene, directory: Path, **more: str) -> dict[str, str]:
    """Each directory has a store of its own, in its own part of the bucket."""
    return scene.environ | {
        "PARPARCHIK_DEDUP_BUCKET": scene.create(BUCKET),
        "PARPARCHIK_DEDUP_PREFIX": f"{directory.name}/",
        "PARPARCHIK_DEDUP_METADATA": f"sqlite:///{directory}/files.db",
        **more,
    }


class Tracker:
    """One store below `mount` of `server`."""

    def __init__(self, server: Server, scene: Scene, directory: Path, mount: str = "/ft") -> None:
        self.server = server
        self.scene = scene
        self.directory = directory
        self.url = server.url.rstrip("/") + mount

    async def ask(
        self, method: str, path: str, query: str = "", content: object = None, **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}/{path}{query}"
        return await self.server.http.request(
            method,
            url,
            content=content,  # type: ignore[arg-type]  # bytes or an iterator of them
            headers=named,
        )

    async def put(
        self,
        path: str,
        data: object,
        version_s: int = 100,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        target = f"files/{quote(path)}"
        return await self.ask("PUT", target, at(version_s), data, **(headers or {}))

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask("GET", f"files/{quote(path)}", **headers)

    async def head(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask("HEAD", f"files/{quote(path)}", **headers)

    async def delete(self, path: str, version_s: int = 100) -> httpx.Response:
        return await self.ask("DELETE", f"files/{quote(path)}", at(version_s))

    async def data(self, path: str) -> bytes | None:
        answer = await self.get(path)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return answer.content  # httpx undoes the coding

    async def listed(self, folder: str = "", query: str = "") -> list[str]:
        answer = await self.ask("GET", f"list/{quote(folder)}" if folder else "list", query)
        assert answer.status_code == 200, answer.text
        *lines, rest = answer.content.decode().split("\n")
        assert rest == ""
        return lines

    def keys(self) -> list[str]:
        """Of the objects at S3, without the store's prefix."""
        prefix = f"{self.directory.name}/"
        target = f"/{BUCKET}?list-type=2&prefix={prefix}"
        status, body = self.scene.request("GET", target)
        assert status == 200
        found = re.findall(r"<Key>(.*?)</Key>", body.decode())
        return sorted(key.removeprefix(prefix) for key in found)

    def key(self, data: bytes) -> str:
        """Where a content is stored first, without the store's prefix."""
        digest = hashlib.sha256(data).hexdigest()
        return f"{digest[:2]}/{digest[2:4]}/{digest}"


def at(version_s: int) -> str:
    return f"?last_modified={quote(formatdate(version_s))}"


def hints(data: bytes) -> dict[str, str]:
    return {
        "Content_Encoding": "gzip",
        "SHA256_Checksum": hashlib.sha256(data).hexdigest(),
        "Logical_Size": str(len(data)),
    }


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@asynccontextmanager
async def tracking(
    scene: Scene, directory: Path, *, mount: str = "/ft", **more: str
) -> AsyncIterator[Tracker]:
    environ = environ_of(scene, directory, **more)
    if mount != "/ft":
        environ["PARPARCHIK_DEDUP_MOUNT"] = mount or "/"
    async with serving(environ) as server:
        yield Tracker(server, scene, directory, mount)
