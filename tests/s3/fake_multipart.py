"""S3 as far as storing goes, with a fault wherever a test wants one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

import trio

from parparchik.s3 import S3Client, S3Objects
from tests.s3.fake_s3 import OBJECT, answer, error, open_objects
from tests.s3.scripted import Peer, Script, ScriptedServer, Seen, replying, serve

Fault = Callable[[str, int, Seen], bytes | None]

PART = 100_000
"""Bytes in a part, where a test uses the fixture `small_parts`."""
DATA = bytes(range(251)) * 1_000  # three parts, the last one of 51,000 bytes
STEPS = ["create", "part", "part", "part", "complete"]
SLOW_DOWN = answer(503, {"Retry-After": "0"})


def step_of(seen: Seen) -> str:
    """`create`, `part`, `complete`, `abort`, or the method of what has no upload."""
    query = dict(parse_qsl(urlsplit(seen.target).query, keep_blank_values=True))
    if "uploads" in query:
        return "create"
    if "uploadId" not in query:
        return seen.method.lower()
    return {"PUT": "part", "POST": "complete", "DELETE": "abort"}[seen.method]


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class FakeMultipart:
    """`steps` has what was asked, in order. `fault(step, number, seen)` may answer in its stead;
    `number` counts requests of a step from 1. With `lose` set, a step named there takes effect
    but is answered by the fault."""

    def __init__(self, fault: Fault = lambda *_: None, *, lose: tuple[str, ...] = ()) -> None:
        self.fault = fault
        self.lose = lose
        self.steps: list[str] = []
        self.seen: dict[str, list[Seen]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.objects: dict[str, tuple[bytes, str]] = {}

    def __call__(self, seen: Seen) -> bytes:
        step = step_of(seen)
        self.steps.append(step)
        self.seen.setdefault(step, []).append(seen)
        sha256 = hashlib.sha256(seen.body).hexdigest()
        assert seen.headers["x-amz-content-sha256"] == sha256, step
        fault = self.fault(step, len(self.seen[step]), seen)
        if fault is not None:
            if step in self.lose:
                self._do(step, seen)
            return fault
        return self._do(step, seen)

    def _do(self, step: str, seen: Seen) -> bytes:
        parts = urlsplit(seen.target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        key = unquote(parts.path.removeprefix("/files/"))
        if step == "put":
            self.objects[key] = (seen.body, f'"{md5(seen.body)}"')
            return answer(200, {"ETag": f'"{md5(seen.body)}"'})
        if step in ("head", "get"):  # a GET only asks why a HEAD said 404
            stored = self.objects.get(key)
            if stored is None:
                return error(seen, 404, "NoSuchKey")
            return answer(200, {**OBJECT, "ETag": stored[1]}, stored[0], to_head=True)
        if step == "create":
            name = f"upload+/{len(self.uploads) + 1}"
            self.uploads[name] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
            return answer(200, {}, f"{body}</InitiateMultipartUploadResult>".encode())
        upload = self.uploads.get(query["uploadId"])
        if upload is None:
            return error(seen, 404, "NoSuchUpload")
        if step == "part":
            upload[int(query["partNumber"])] = seen.body
            return answer(200, {"ETag": f'"{md5(seen.body)}"'})
        del self.uploads[query["uploadId"]]
        if step == "abort":
            return answer(204)
        return self._complete(key, upload, seen)

    def _complete(self, key: str, upload: dict[int, bytes], seen: Seen) -> bytes:
        named = [(int(part[0].text or ""), part[1].text) for part in ET.fromstring(seen.body)]
        assert named == [(number, f'"{md5(data)}"') for number, data in sorted(upload.items())]
        digests = b"".join(bytes.fromhex(md5(data)) for _, data in sorted(upload.items()))
        etag = f'"{md5(digests)}-{len(upload)}"'
        self.objects[key] = (b"".join(data for _, data in sorted(upload.items())), etag)
        body = f"<CompleteMultipartUploadResult><ETag>&quot;{etag[1:-1]}&quot;</ETag>"
        return answer(200, {}, f"\n\n{body}</CompleteMultipartUploadResult>".encode())


async def started(nursery: trio.Nursery, s3: S3Client, fake: FakeMultipart) -> S3Objects:
    server: ScriptedServer = await nursery.start(serve, replying(fake))
    return open_objects(s3, server)


def holding(fake: FakeMultipart, step: str, reached: trio.Event, go_on: trio.Event) -> Script:
    """`fake`, but whoever asks for that step waits until it may go on."""

    async def script(peer: Peer) -> None:
        while seen := await peer.request():
            if step_of(seen) == step:
                reached.set()
                await go_on.wait()
            await peer.send(fake(seen))

    return script
