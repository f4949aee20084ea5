"""`python -m bench.stand_in SPECS`: the stand-in as a process; says its port on standard output
and ends with standard input, so that it never outlives who started it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

import msgspec
import trio

from bench.processes import module_argv
from bench.stand_in.buckets import BucketSpec
from bench.stand_in.server import StandIn


def stand_in_argv(specs: Sequence[BucketSpec], port: int = 0) -> list[str]:
    """The command that starts one on 127.0.0.1; see `processes.environment`."""
    return module_argv("bench.stand_in", msgspec.json.encode(specs).decode(), str(port))


def main() -> None:
    specs = msgspec.json.decode(sys.argv[1], type=list[BucketSpec])
    trio.run(_serve, specs, int(sys.argv[2]))


async def _serve(specs: Sequence[BucketSpec], port: int) -> None:
    stand_in = StandIn(specs)
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stand_in.serve, listener)
            await _standard_input_ends()
            nursery.cancel_scope.cancel()


async def _standard_input_ends() -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stream:
        while await stream.receive_some():
            pass
