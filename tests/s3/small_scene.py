"""Small requests to a server that keeps to a script, by a client with a reactor and without, and
without a task."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import trio
import trio.testing

from parparchik.config import S3Config
from parparchik.content import Storing
from parparchik.model import Unfinished
from parparchik.s3 import Credentials, S3Client, S3Objects
from parparchik.s3.pool import PoolStatistics
from parparchik.s3.request import SMALL_BYTES
from tests.s3 import sigv4_oracle as oracle
from tests.s3.fake_s3 import QUICK, answer, open_objects
from tests.s3.scripted import Script, ScriptedServer, Seen, in_turn
from tests.s3.uploads import Sent

DATA = bytes(range(256)) * 16
NOW_S = 1_777_975_200.5
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BLOB = Storing(
    "application/octet-stream",
    (
        ("content-encoding", "gzip"),
        ("x-amz-meta-logical-size", "9000"),
        ("x-amz-meta-sha256", "0" * 64),
    ),
)


Way = Literal["reactor", "task", "soon"]
"""Who waits for an answer: a task that sleeps until the reactor calls; a task by itself; nobody,
where it can begin so, and a task for what is left."""

Told = str | Unfinished[str]


class Running:
    """Objects on a client, and with a connection that lies ready once it has stored something."""

    def __init__(self, client: S3Client, objects: S3Objects, way: Way = "reactor") -> None:
        self.client = client
        self.objects = objects
        self._way = way

    async def store(self, key: str = "k", data: bytes = DATA, storing: Storing = BLOB) -> str:
        with trio.fail_after(5):
            told = await self.soon(key, data, storing) if self._way == "soon" else None
            if isinstance(told, Unfinished):
                return await told.finish()
            return told or await self.objects.store(key, Sent(data), storing)

    async def soon(
        self, key: str = "k", data: bytes = DATA, storing: Storing = BLOB
    ) -> Told | None:
        """None where it cannot begin so, for which there has to be a reason."""
        told: list[Told] = []
        done = trio.Event()

        def then(outcome: Told) -> None:
            told.append(outcome)
            done.set()

        if not self.objects.store_soon(key, data, storing, then):
            assert not self.pool or not self.pool.idle or len(data) > SMALL_BYTES
            return None
        assert not told, "not before the event loop has turned"
        with trio.fail_after(5):
            await done.wait()
        await trio.lowlevel.checkpoint()
        [outcome] = told
        return outcome

    @property
    def pool(self) -> PoolStatistics | None:
        """None before anything was asked."""
        pools = self.client.statistics().pools
        return pools[0][1] if pools else None

    @property
    def open(self) -> int:
        assert self.pool is not None
        return self.pool.open

    @property
    def retries(self) -> int:
        [put] = [each for each in self.client.statistics().operations if each.operation == "put"]
        return put.retries

    @property
    def outcomes(self) -> dict[str, int]:
        [put] = [each for each in self.client.statistics().operations if each.operation == "put"]
        assert sum(put.latency_counts) == sum(count for _, count in put.outcomes)
        return {outcome: count for outcome, count in put.outcomes if count}


class Start:
    """Makes clients that store in one `way`."""

    def __init__(self, nursery: trio.Nursery, way: Way) -> None:
        self._nursery = nursery
        self._way = way
        self._clients: list[S3Client] = []

    async def client(
        self, config: S3Config = QUICK, now: Callable[[], float] = time.time
    ) -> S3Client:
        client = S3Client(config, now=now)
        self._clients.append(client)
        if self._way != "task":
            await self._nursery.start(client.run)
        return client

    async def __call__(self, server: ScriptedServer, config: S3Config = QUICK) -> Running:
        client = await self.client(config)
        running = self.on(client, open_objects(client, server))
        assert await running.store("first") == '"1"'  # opens a connection
        return running

    def on(self, client: S3Client, objects: S3Objects) -> Running:
        return Running(client, objects, self._way)

    def close(self) -> None:
        for client in self._clients:
            client.close()


def stored(more: Mapping[str, str] = MappingProxyType({}), body: bytes = b"") -> bytes:
    return answer(200, {"ETag": '"1"', **more}, body)


def scripted(*replies: bytes, step: int = 0) -> Script:
    """The first request of all is answered plainly; those after it by `replies`, as `in_turn`."""
    return in_turn(stored(), *replies, step=step)


def signed_names(seen: Seen) -> set[str]:
    return set(
        seen.headers["authorization"].partition("SignedHeaders=")[2].split(",")[0].split(";")
    )


def assert_signed(server: ScriptedServer, seen: Seen, keys: Credentials, names: set[str]) -> None:
    """As botocore signs it, given what reached the server."""
    added = {"x-amz-date", "x-amz-content-sha256"}
    added |= {"x-amz-security-token"} if keys.session_token else set()
    assert signed_names(seen) == {"host", *names, *added}
    expected = oracle.signed_headers(
        seen.method,
        f"{server.url}{seen.target}",
        [(name, seen.headers[name]) for name in names],
        payload_hash=hashlib.sha256(seen.body).hexdigest(),
        credentials=keys,
        region="eu-west-1",
        now_s=NOW_S,
    )
    assert {name: seen.headers[name] for name in expected} == expected
