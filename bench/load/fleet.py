"""Several load processes as one: started together, their outcomes merged."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Protocol

import trio

from bench.load.messages import Failed, Finished, Progressed, Ready, decode, encode_order
from bench.load.outcome import Outcome
from bench.load.plan import Plan
from bench.processes import environment, module_argv


class LoadFailed(Exception):
    """A load process ended without an outcome."""


class Watch(Protocol):
    """Who is told how a load goes on."""

    def measuring(self) -> None:
        """The warm-up is over."""

    def progress(self, requests: int, errors: int) -> None:
        """So far, in all processes."""


@dataclass(slots=True)
class _Process:
    process: trio.Process
    lines: _Lines
    requests: int = 0
    errors: int = 0


async def fire(plan: Plan, watch: Watch | None = None) -> Outcome:
    """Carry out a plan. Raises LoadFailed."""
    outcome = Outcome()
    measuring = False
    loads: list[_Process] = []

    async def follow(load: _Process) -> None:
        nonlocal measuring
        while line := await load.lines.next():
            match decode(line):
                case Progressed(requests, errors):
                    load.requests, load.errors = requests, errors
                    if watch is not None:
                        if not measuring:
                            watch.measuring()
                        watch.progress(
                            sum(each.requests for each in loads),
                            sum(each.errors for each in loads),
                        )
                    measuring = True
                case Finished(report):
                    outcome.merge(report.outcome())
                    return
                case Failed(message):
                    raise LoadFailed(message)
        raise LoadFailed("a load process ended early")

    async with trio.open_nursery() as nursery:
        try:
            for number in range(plan.processes):
                loads.append(await _start(plan, number, nursery))
            for load in loads:
                assert load.process.stdin is not None
                await load.process.stdin.send_all(b"go\n")
            async with trio.open_nursery() as following:
                for load in loads:
                    following.start_soon(follow, load)
        finally:
            nursery.cancel_scope.cancel()  # which ends what still runs
    return outcome


async def _start(plan: Plan, number: int, nursery: trio.Nursery) -> _Process:
    process: trio.Process = await nursery.start(_run_process)
    assert process.stdin is not None
    assert process.stdout is not None
    load = _Process(process, _Lines(process.stdout))
    await process.stdin.send_all(encode_order(plan, number))
    line = await load.lines.next()
    if not line or not isinstance(decode(line), Ready):
        raise LoadFailed("a load process could not start")
    return load


async def _run_process(*, task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(
        module_argv("bench.load.child"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        check=False,
        env=environment(),
        task_status=task_status,
    )


class _Lines:
    """A stream, read by the line."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._held = b""

    async def next(self) -> bytes:
        """Empty: the stream has ended."""
        while b"\n" not in self._held:
            data = await self._stream.receive_some()
            if not data:
                return b""
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line
