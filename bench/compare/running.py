"""A program of the comparison while it runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from bench.compare.programs import Program
from bench.local import Running, StartFailed, ask, start
from bench.processes import environment

READY_S = 120.0  # under callgrind, too
_SETTINGS = re.compile(r"(PARPARCHIK|AWS|S3)_")


@asynccontextmanager
async def running(program: Program, processors: Sequence[int]) -> AsyncIterator[Running]:
    """The program on these processors, ready for its work, until the block is left; of the
    caller's own settings it knows nothing. Raises StartFailed, also when it has ended meanwhile."""
    kept = {name: value for name, value in environment().items() if not _SETTINGS.match(name)}
    async with start(program.argv, {**kept, **program.environ}, processors) as server:
        await _wait(program, server)
        yield server
        server.check()


async def _wait(program: Program, server: Running) -> None:
    with trio.move_on_after(READY_S):
        while not await _is_ready(program):
            try:
                server.check()
            except StartFailed as error:
                raise StartFailed(f"{program.name}: {error}") from None
            await trio.sleep(0.05)
        return
    raise StartFailed(f"{program.name} is not ready: {server.last_words()}")


async def _is_ready(program: Program) -> bool:
    status, _ = await ask(program.port, program.ready_path or "/")
    return status == 200 if program.ready_path else status != 0
