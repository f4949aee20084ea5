"""The protocol on a store in memory, asked without a socket."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import trio
import trio.testing

from parparchik.config.model import AuthConfig
from parparchik.dedup import DedupMount, DedupStore, Permissions, PutLimits
from parparchik.dedup.mount import Store
from parparchik.dedup.recent import Recent
from parparchik.dedup.types import File
from parparchik.model import Answer, Request, Unfinished
from parparchik.routes import Authenticator, presented_key
from tests.dedup.fake_metadata import FakeMetadata
from tests.fakes_bytes import FakeBytes
from tests.objects.scene import Body, header

NOW_S = 1_780_000_000
KEY = "a-key-that-nobody-guesses"

Fields = Mapping[str, str]


class Watched:
    """`recent.Watched`: the metadata are in the `state` that a test says. `gets` counts."""

    def __init__(self, metadata: FakeMetadata) -> None:
        self._metadata = metadata
        self.now: int | None = None
        self.gets = 0

    def state(self) -> int | None:
        return self.now

    async def get(self, path: str) -> File | None:
        self.gets += 1
        return await self._metadata.get(path)


class Whole:
    """`model.WholeUpload`: a body that has all come."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.size_bytes = body.size_bytes

    @property
    def data(self) -> bytes:
        self._body.asked_for = True
        assert self._body.whole is not None
        return self._body.whole

    async def read(self) -> bytes:
        return await self._body.read()


class MountScene:
    """`mount` at `path`, on `metadata` and `bucket`. `is_soon`: it acts without a task, where it
    can; `begun` counts these."""

    is_soon = False

    def __init__(
        self,
        path: str = "/ft/",
        *,
        api_keys: tuple[str, ...] = (),
        reading: bool = True,
        writing: bool = True,
        memory_bytes: int = 0,
        limits: PutLimits | None = None,
    ) -> None:
        self.path = path
        self.begun = 0
        self.metadata = FakeMetadata()
        self.bucket = FakeBytes("dedup")
        self.dedup = DedupStore(
            self.metadata, self.bucket, limits or PutLimits(), now=lambda: NOW_S
        )
        self.watched = Watched(self.metadata)
        self.recent = Recent(self.watched, memory_bytes, hit=self.dedup.count_hit)
        self.received: list[int] = []
        self.permissions = Permissions(
            Authenticator(AuthConfig(api_keys=api_keys)), reading=reading, writing=writing
        )
        self.put_before(self.dedup)

    def put_before(self, store: Store) -> None:
        """The mount asks this one from now on."""
        self.mount = DedupMount(
            self.path,
            store,
            self.permissions,
            self.recent,
            received=self.received.append,
            now=lambda: NOW_S,
        )

    async def ask(
        self,
        target: str | bytes,
        fields: Fields | None = None,
        *,
        method: str = "GET",
        key: str = "",
    ) -> Answer:
        question = self.mount.ask(self._request(method, target, fields, key))
        return question.answer_nowait() or await question.answer()

    async def act(
        self,
        method: str,
        target: str | bytes,
        body: Body | bytes = b"",
        fields: Fields | None = None,
        *,
        key: str = "",
    ) -> Answer:
        upload = Body(body) if isinstance(body, bytes) else body
        request = self._request(method, target, fields, key)
        if self.is_soon and upload.whole is not None:
            outcome = await self._act_soon(request, upload)
            if outcome is not None:
                return await outcome.finish() if isinstance(outcome, Unfinished) else outcome
        return await self.mount.act(request, upload)

    async def put_soon(
        self, path: str, data: bytes, version_s: int = 100
    ) -> Answer | Unfinished[Answer] | None:
        """As far as that goes without a task; None where nothing was begun."""
        request = self._request("PUT", file(path, version_s), None, "")
        return await self._act_soon(request, Body(data))

    async def _act_soon(self, request: Request, upload: Body) -> Answer | Unfinished[Answer] | None:
        came: list[Answer | Unfinished[Answer]] = []
        told = trio.Event()

        def then(outcome: Answer | Unfinished[Answer]) -> None:
            came.append(outcome)
            told.set()

        if not self.mount.act_soon(request, Whole(upload), then):
            await trio.testing.wait_all_tasks_blocked()
            assert came == []
            return None
        assert came == []  # later
        self.begun += 1
        await told.wait()
        (outcome,) = came
        return outcome

    def _request(
        self, method: str, target: str | bytes, fields: Fields | None, key: str
    ) -> Request:
        headers = tuple(
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in (fields or {}).items()
        )
        if key:
            headers += ((b"x-api-key", key.encode()),)
        below = target if isinstance(target, bytes) else target.encode()
        return Request(method, self.path.encode() + below, presented_key(headers), headers)

    async def put(
        self, path: str, data: bytes, version_s: int = 100, fields: Fields | None = None
    ) -> Answer:
        return await self.act("PUT", file(path, version_s), data, fields)

    async def delete(self, path: str, version_s: int = 100) -> Answer:
        return await self.act("DELETE", file(path, version_s))

    async def head(self, path: str) -> Answer:
        return await self.ask(f"files/{quote(path)}", method="HEAD")

    async def data(self, path: str) -> bytes | None:
        """A file's content, None where there is none."""
        answer = await self.ask(f"files/{quote(path)}")
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        return gzip.decompress(await body_of(answer))

    async def listed(self, folder: str = "", query: str = "") -> list[str]:
        answer = await self.ask(f"list/{quote(folder)}{query}")
        assert answer.status == 200, answer
        *lines, rest = (await body_of(answer)).decode().split("\n")
        assert rest == ""
        return lines


@asynccontextmanager
async def mounted(
    path: str = "/ft/",
    *,
    api_keys: tuple[str, ...] = (),
    reading: bool = True,
    writing: bool = True,
    memory_bytes: int = 0,
    limits: PutLimits | None = None,
) -> AsyncIterator[MountScene]:
    scene = MountScene(
        path,
        api_keys=api_keys,
        reading=reading,
        writing=writing,
        memory_bytes=memory_bytes,
        limits=limits,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.dedup.run)
        yield scene
        nursery.cancel_scope.cancel()


async def body_of(answer: Answer) -> bytes:
    """All of it, of the length that was announced."""
    if answer.content is None:
        return answer.body
    body = bytearray()
    try:
        while (block := await answer.content.read()) is not None:
            assert isinstance(block, bytes)
            body += block
    finally:
        answer.content.close()
    assert answer.open_ended or len(body) == answer.size_bytes
    return bytes(body)


def date(version_s: int) -> str:
    """As filetracker's client writes it."""
    return formatdate(version_s)


def file(path: str, version_s: int | None = 100, version: str | None = None) -> str:
    text = version if version is not None else None if version_s is None else date(version_s)
    query = "" if text is None else f"?last_modified={quote(text)}"
    return f"files/{quote(path)}{query}"


def told(answer: Answer) -> Any:
    assert header(answer, "content-type") == "application/json"
    return json.loads(answer.body)


def refused(answer: Answer, status: int = 400) -> str:
    """The reason, which people are shown by filetracker's client, too."""
    assert answer.status == status, answer
    assert header(answer, "x-exception")
    reason = told(answer)["error"]
    assert isinstance(reason, str)
    return reason


def hinted(data: bytes, **more: str) -> dict[str, str]:
    """The headers with which filetracker's client sends `data` as gzip."""
    return {
        "Content-Encoding": "gzip",
        "SHA256-Checksum": hashlib.sha256(data).hexdigest(),
        "Logical-Size": str(len(data)),
    } | {name.replace("_", "-"): value for name, value in more.items()}
