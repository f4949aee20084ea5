"""The registry at a million entries: how soon routable, how large, and whether anybody waits.

    python -m bench.registry [--entries N] [--json FILE]

Three figures with goals: manifest bytes to routable (1.5 s), memory per entry (250 bytes), and
the longest time for which reading or writing a manifest kept the event loop from anybody else
(20 ms). The store stands in memory, so nothing but the registry's own work is timed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import trio

from parparchik.config import RoutesConfig
from parparchik.errors import Unavailable
from parparchik.model import Bucket, ListPage, Method, ObjectHead, PresignedUrl, StoredObject
from parparchik.registry import Registry, Service
from parparchik.registry.entries import pack
from parparchik.registry.manifest import Encoder

TICK_S = 0.002


class MemoryStore:
    """A bucket that holds its manifest and nothing else, and never answers a listing or a HEAD:
    so the start-up stops where the manifest's entries are routable."""

    def __init__(self, bucket: Bucket, manifest: bytes) -> None:
        self.bucket = bucket
        self.written_bytes = 0
        self._manifest = manifest

    async def head(self, key: str) -> ObjectHead | None:
        if key != self.bucket.manifest_key:
            await trio.sleep_forever()
        return ObjectHead(len(self._manifest), 0, '"1"')

    def head_soon(self, key: str, then: object) -> bool:
        return False

    async def get(self, key: str) -> StoredObject | None:
        await trio.lowlevel.checkpoint()
        return StoredObject(self._manifest, ObjectHead(len(self._manifest), 0, '"1"'))

    async def put(
        self,
        key: str,
        pieces: Sequence[bytes],
        *,
        content_type: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        await trio.lowlevel.checkpoint()
        self.written_bytes = sum(map(len, pieces))
        return '"1"'

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        await trio.sleep_forever()

    def public_url(self, key: str) -> str:
        return f"http://127.0.0.1/{key}"

    def presign(self, method: Method, key: str, *, expires_s: int) -> PresignedUrl:
        raise Unavailable("not signed here")


def resident_bytes() -> int:
    """The process's resident set (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Ticker:
    """Wakes every 2 ms and keeps how late it was at worst."""

    def __init__(self) -> None:
        self.latenesses_s: list[float] = []

    async def run(self) -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await trio.sleep(TICK_S)
            self.latenesses_s.append(time.perf_counter() - due)

    def take(self) -> tuple[float, float]:
        """(longest, 99.9th percentile) lateness in seconds since the last call."""
        ordered = sorted(self.latenesses_s) or [0.0]
        self.latenesses_s = []
        return ordered[-1], ordered[int(len(ordered) * 0.999)]


def make_manifest(bucket: Bucket, entries: int) -> bytes:
    registry = Registry([bucket])
    registry.load(
        0,
        (
            (
                f"dir{n % 1000:04}/file_v{n:07}.tar.gz",
                pack(0, n * 37 + 100, 1_500_000_000 + n * 200),
            )
            for n in range(entries)
        ),
    )
    return b"".join(Encoder(bucket, 0).encode(registry.slices()))


async def measure(entries: int) -> dict[str, float]:
    bucket = Bucket("bench")
    # Made by another process: what it frees here would hide what the registry takes.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
        store = MemoryStore(bucket, maker.submit(make_manifest, bucket, entries).result())
    gc.collect()
    before = resident_bytes()
    service = Service([store], RoutesConfig())
    ticker = Ticker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticker.run)
        await trio.sleep(0.1)
        ticker.take()
        begun = time.perf_counter()
        nursery.start_soon(service.start_up)
        while service.count < entries:  # noqa: ASYNC110  nobody is told when all are routable
            await trio.sleep(TICK_S)
        load_s = time.perf_counter() - begun
        load_stall_s, _ = ticker.take()
        gc.collect()
        entry_bytes = (resident_bytes() - before) / entries

        begun = time.perf_counter()
        for n in range(100_000):
            service.registry.packed(f"dir{n % 1000:04}/file_v{n:07}.tar.gz")
        lookup_s = (time.perf_counter() - begun) / 100_000

        await trio.sleep(0.1)
        ticker.take()
        service.registry.put("one/more", pack(0, 1, 1))
        begun = time.perf_counter()
        await service.writer.flush()
        write_s = time.perf_counter() - begun
        write_stall_s, write_p999_s = ticker.take()
        nursery.cancel_scope.cancel()
    return {
        "entries": entries,
        "manifest_bytes": store.written_bytes,
        "bytes_to_routable_s": load_s,
        "memory_per_entry_bytes": entry_bytes,
        "lookup_us": lookup_s * 1e6,
        "read_longest_stall_ms": load_stall_s * 1e3,
        "write_s": write_s,
        "write_longest_stall_ms": write_stall_s * 1e3,
        "write_p999_stall_ms": write_p999_s * 1e3,
    }


GOALS = {
    "bytes_to_routable_s": 1.5,
    "memory_per_entry_bytes": 250,
    "read_longest_stall_ms": 20,
    "write_longest_stall_ms": 20,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    figures = trio.run(measure, options.entries)
    print(f"{'figure':<26}{'measured':>14}{'goal':>10}")
    for name, value in figures.items():
        goal = f"{GOALS[name]:,}" if name in GOALS else ""
        print(f"{name:<26}{value:>14,.2f}{goal:>10}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
