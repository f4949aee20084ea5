"""`parparchik serve` as the operating system sees it: signals, exit codes, and all it prints."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import msgspec
import pytest
import trio
from moto.server import ThreadedMotoServer

from tests.plain_http import NO_TLS

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN//////////="
API_KEY = "operators-api-key"


@dataclass
class Running:
    process: trio.Process
    url: str
    log: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def wait(self) -> int:
        with trio.fail_after(20):
            return await self.process.wait()


async def start(nursery: trio.Nursery, **environ: str) -> Running:
    """A server on a port of its own, when it listens."""
    process: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            [sys.executable, "-m", "parparchik", "serve"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            capture_stdout=False,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "PARPARCHIK_HOST": "127.0.0.1",
                "PARPARCHIK_PORT": "0",
                "PARPARCHIK_BUCKETS": "photos::public,vault",
                "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_SESSION_TOKEN": TOKEN,
                **environ,
            },
        )
    )
    running = Running(process, "")
    listening = trio.Event()

    async def read() -> None:
        assert process.stdout is not None
        rest = b""
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                running.log.append(line.decode())
                if b'"listening"' in line:
                    running.url = msgspec.json.decode(line)["urls"][0]
                    listening.set()
        running.log.append(rest.decode())
        listening.set()

    nursery.start_soon(read)
    with trio.fail_after(20):
        await listening.wait()
    assert running.url, running.log
    return running


@contextmanager
def silent_s3() -> Iterator[str]:
    """An S3 that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    for bucket, key in (("photos", "cat 1.jpg"), ("vault", "deed.pdf")):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    yield endpoint
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_exit_code_0(
    nursery: trio.Nursery, number: signal.Signals
) -> None:
    with silent_s3() as endpoint:
        running = await start(nursery, S3_ENDPOINT=endpoint)
        async with httpx.AsyncClient(verify=NO_TLS, trust_env=False) as client:
            assert (await client.get(f"{running.url}/healthcheck")).status_code == 200
            assert (await client.get(f"{running.url}/readiness")).status_code == 503
        running.process.send_signal(number)
        assert await running.wait() == 0


async def test_a_second_signal_ends_it_at_once(nursery: trio.Nursery) -> None:
    with silent_s3() as endpoint:
        running = await start(nursery, S3_ENDPOINT=endpoint, PARPARCHIK_PROBE_TIMEOUT="600")
        stream = await trio.open_tcp_stream("127.0.0.1", running.port)
        async with stream:
            await stream.send_all(b"GET /photos/a HTTP/1.1\r\nHost: t\r\n\r\n")
            await stream.send_all(b"GET /healthcheck HTTP/1.1\r\nHost: t\r\n\r\n")
            await trio.sleep(0.5)
            running.process.send_signal(signal.SIGTERM)
            with trio.move_on_after(1):
                await running.process.wait()
            assert running.process.returncode is None  # it waits for the request
            running.process.send_signal(signal.SIGTERM)
            assert await running.wait() == 1


async def test_a_port_that_is_taken(nursery: trio.Nursery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as inner:
                await start(inner, S3_ENDPOINT="127.0.0.1:1", PARPARCHIK_PORT=port)
    assert caught.group_contains(AssertionError, match=f"PARPARCHIK_PORT={port}")


async def test_nothing_secret_is_ever_printed(nursery: trio.Nursery, moto: str) -> None:
    running = await start(
        nursery, S3_ENDPOINT=moto, PARPARCHIK_API_KEYS=API_KEY, PARPARCHIK_LOG_LEVEL="debug"
    )
    signatures = set()
    async with httpx.AsyncClient(base_url=running.url, verify=NO_TLS, trust_env=False) as client:
        with trio.fail_after(20):
            while (await client.get("/readiness")).status_code != 200:  # noqa: ASYNC110
                await trio.sleep(0.1)
        headers = {"X-API-Key": API_KEY, "X-Request-Id": "find-me"}
        for method in ("GET", "HEAD"):
            reply = await client.request(method, "/vault/deed.pdf", headers=headers)
            assert reply.status_code == 302
            query = parse_qs(urlsplit(reply.headers["location"]).query)
            signatures |= {*query["X-Amz-Signature"], *query["X-Amz-Security-Token"]}
            # Clients hand presigned URLs on, and send keys where they should not.
            await client.get(f"/vault/deed.pdf?{urlsplit(reply.headers['location']).query}")
        await client.get(f"/photos/cat%201.jpg?api_key={API_KEY}")
        await client.get("/vault/deed.pdf", headers={"Authorization": f"Bearer {API_KEY}x"})
        await client.get("/list?sync=true", headers=headers)
        await client.post("/relocate?filename=deed.pdf", headers=headers)
        exposed = (await client.get("/metrics")).text + (await client.get("/status")).text
    running.process.send_signal(signal.SIGTERM)
    assert await running.wait() == 0
    printed = "\n".join(running.log) + exposed
    assert '"find-me"' in printed
    assert "/vault/deed.pdf" in printed
    for secret in (SECRET, TOKEN, API_KEY, *signatures):
        assert secret not in printed
    assert "location" in printed
