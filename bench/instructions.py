"""Instructions per request: a benchmark that does not depend on the machine's mood.

    python -m bench.instructions [--requests N] [--json FILE]

What the server executes in user space for one request, in four cases. Counted by the processor
(`perf stat -e instructions:u`) where it has counters that this machine lends out, otherwise by
callgrind, which executes every instruction itself: fifty times slower, and the same count every
time. What the kernel does for a request is in neither.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from bench.compare.figures import Instructions
from bench.compare.programs import Program, parparchik
from bench.compare.running import running
from bench.compare.stage import BUCKET, Stage
from bench.load import Ask, Counting, Cycle, Deck, Expected, Family, LoadFailed, Plan, Target, fire
from bench.local import StartFailed
from bench.stand_in import BucketSpec, key_of, stand_in_argv

REQUESTS = 3_000
WARM_UP = 3_000  # every key a dozen times: what is learnt along the way has been learnt
KEYS = [key_of(number) for number in range(200)]
CONNECTIONS = 32
PATIENCE_S = 300.0
# Nothing but the requests themselves: no verification in the background, nothing forgotten.
QUIET = {
    "PARPARCHIK_VERIFY_TTL": "1h",
    "PARPARCHIK_NEGATIVE_TTL": "1h",
    "PARPARCHIK_LOG_LEVEL": "error",
}


@dataclass(frozen=True, slots=True)
class Case:
    """`deck` is asked for once a firing, with the firing's number."""

    name: str
    title: str
    deck: Callable[[int], Deck]
    environ: dict[str, str]


def _same(paths: Sequence[str], status: int) -> Callable[[int], Deck]:
    cycle = Cycle(tuple(Ask(path, Expected(status)) for path in paths))
    return lambda firing: cycle


def _new(path: str) -> Callable[[int], Deck]:
    """Never the same twice, in no two firings."""
    expected, many = Expected(302), 1_000_000
    return lambda firing: Counting(Family(path, expected, first=firing * many, count=many))


CASES = (
    Case("hot", "redirect-hot", _same([f"/{BUCKET}/{key}" for key in KEYS], 302), {}),
    Case(
        "negative",
        "a miss from memory",
        _same([f"/{BUCKET}/missing-{number:03}" for number in range(200)], 404),
        {},
    ),
    Case(
        "parsed",
        "redirect-hot, each head seen for the first time",
        _new(f"/{BUCKET}/{KEYS[0]}?{{n:08}}"),
        {},
    ),
    Case(
        "strict",
        "redirect-strict: a HEAD to S3 for each",
        _same([f"/{BUCKET}/{key}" for key in KEYS], 302),
        {"PARPARCHIK_VERIFY": "always"},
    ),
)


class NoCounter(Exception):
    """Neither perf nor valgrind can count here."""


async def count_all(
    requests: int, processors: Sequence[int], say: Callable[[str], None]
) -> list[Instructions]:
    """All cases, the server on the first processor. Raises NoCounter, and what starting servers
    and firing at them raises."""
    counter = pick_counter()
    counted = []
    with tempfile.TemporaryDirectory(prefix="parparchik-instructions-") as scratch:
        stage = Stage(Path(scratch))
        spec = BucketSpec(BUCKET, count=len(KEYS), manifest=True)
        port = stage.port("s3")
        s3 = Program("s3", tuple(stand_in_argv([spec], port)), {}, port)
        async with running(s3, processors[-1:]):
            for case in CASES:
                per_request = await _count(counter, stage, case, requests, processors)
                counted.append(
                    Instructions(
                        name=case.name,
                        title=case.title,
                        requests=requests,
                        per_request=per_request,
                        counter=counter.name,
                    )
                )
                say(f"  {case.title:<50}{per_request:>12,.0f}")
    return counted


async def _count(
    counter: Counter, stage: Stage, case: Case, requests: int, processors: Sequence[int]
) -> float:
    """Counts a third of `requests`, then all of them; the difference is free of what each firing
    costs once, its connections above all."""
    program = counter.prepare(parparchik(stage, case.name, **QUIET, **case.environ), stage)
    few = max(requests // 3, 1)
    async with running(program, processors[:1]) as server:
        await _fire(program.port, case.deck(0), WARM_UP, processors)
        taken = []
        for firing, count in enumerate((few, few, few + requests), 1):  # the first warms up
            await counter.begin(server.pid)
            await _fire(program.port, case.deck(firing), count, processors)
            taken.append(await counter.end(server.pid))
    return (taken[2] - taken[1]) / requests


class Counter(Protocol):
    name: str

    def prepare(self, program: Program, stage: Stage) -> Program:
        """The program, to be started in such a way that it can be counted."""

    async def begin(self, pid: int) -> None:
        """From now on."""

    async def end(self, pid: int) -> int:
        """Instructions since `begin`."""


class _Perf:
    """The processor counts, while `perf stat` is attached to the server."""

    name = "perf"

    def prepare(self, program: Program, stage: Stage) -> Program:
        return program

    async def begin(self, pid: int) -> None:
        argv = ("perf", "stat", "-x,", "-e", "instructions:u", "-p", str(pid))
        self._perf = await trio.lowlevel.open_process(argv, stderr=subprocess.PIPE)
        await trio.sleep(0.5)  # it says nothing when it has attached itself

    async def end(self, pid: int) -> int:
        self._perf.send_signal(signal.SIGINT)
        assert self._perf.stderr is not None
        async with self._perf.stderr as stream:
            said = b"".join([chunk async for chunk in stream]).decode()
        await self._perf.wait()
        return int(said.split(",")[0])


class _Callgrind:
    """valgrind executes the server, and counts only while it is told to (vgdb)."""

    name = "callgrind"

    def prepare(self, program: Program, stage: Stage) -> Program:
        self._prefix = f"--vgdb-prefix={stage.directory}/vgdb"
        self._dump = stage.directory / f"{program.name}.callgrind"
        self._dumps = 0
        argv = (
            *("valgrind", "--tool=callgrind", "--instr-atstart=no", self._prefix),
            *(f"--callgrind-out-file={self._dump}", *program.argv),
        )
        return replace(program, argv=argv)

    async def begin(self, pid: int) -> None:
        await self._tell(pid, "instrumentation on")
        await self._tell(pid, "zero")

    async def end(self, pid: int) -> int:
        await self._tell(pid, "dump")
        self._dumps += 1  # valgrind numbers them so
        return callgrind_total(Path(f"{self._dump}.{self._dumps}"))

    async def _tell(self, pid: int, command: str) -> None:
        argv = ["vgdb", self._prefix, f"--pid={pid}", command]
        await trio.run_process(argv, capture_stdout=True, capture_stderr=True)


def callgrind_total(dump: Path) -> int:
    """What callgrind counted up to a dump. Those that are asked for are numbered from 1."""
    found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE)
    if found is None:
        raise NoCounter(f"callgrind wrote no totals to {dump.name}")
    return int(found[1])


async def _fire(port: int, deck: Deck, requests: int, processors: Sequence[int]) -> None:
    outcome = await fire(
        Plan(
            Target.of(f"http://127.0.0.1:{port}"),
            deck,
            connections=CONNECTIONS,
            duration_s=None,
            requests=requests,
            warm_up_s=0,
            timeout_s=PATIENCE_S,
            processors=tuple(processors[1:]),
        )
    )
    if outcome.error_count or outcome.requests != requests:
        raise LoadFailed(f"{outcome.requests} of {requests} answered, errors: {outcome.errors}")


def pick_counter() -> Counter:
    """Raises NoCounter."""
    if shutil.which("perf"):
        argv = ["perf", "stat", "-x,", "-e", "instructions:u", "true"]
        tried = subprocess.run(argv, capture_output=True, text=True, check=False)
        if tried.returncode == 0 and tried.stderr.split(",")[0].isdigit():
            return _Perf()
    if shutil.which("valgrind") and shutil.which("vgdb"):
        return _Callgrind()
    raise NoCounter("perf cannot count here, and valgrind is missing: apt-get install valgrind")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--requests", type=int, default=REQUESTS, help="requests counted in each case"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    try:
        counted = trio.run(count_all, options.requests, processors, print)
    except (NoCounter, StartFailed, LoadFailed) as error:
        sys.exit(f"bench.instructions: {error}")
    print(f"instructions in user space for one request, counted by {counted[0].counter}")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(counted), indent=2))


if __name__ == "__main__":
    main()
