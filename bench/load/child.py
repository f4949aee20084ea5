"""`python -m bench.load.child`: a load process. Reads its order and a line to begin; see
`messages`."""

from __future__ import annotations

import os
import signal
import socket
import sys

import trio

from bench.load.bulk import BulkLoad
from bench.load.client import Sockets
from bench.load.http1 import Http1Load
from bench.load.http2 import Http2Load
from bench.load.messages import Failed, Finished, Progressed, Ready, decode_order, encode
from bench.load.outcome import Outcome, Report
from bench.load.plan import BadPlan, Plan


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's goes to who started this, too
    out = sys.stdout.buffer
    plan, process = decode_order(sys.stdin.buffer.readline())
    if plan.processors:
        os.sched_setaffinity(0, plan.processors)

    def say(requests: int, errors: int) -> None:
        out.write(encode(Progressed(requests, errors)))
        out.flush()

    async def load() -> Outcome:
        return await prepare(plan, process).run(say)

    out.write(encode(Ready()))
    out.flush()
    if not sys.stdin.buffer.readline():
        return  # nobody is there any more
    message: Finished | Failed
    try:
        message = Finished(Report.of(trio.run(load)))
    except (BadPlan, OSError) as error:
        message = Failed(str(error))
    out.write(encode(message))
    out.flush()


def prepare(plan: Plan, process: int) -> Http1Load | Http2Load | BulkLoad:
    """The load of one of the plan's processes, nothing sent yet. Raises OSError."""
    share, target = plan.share(process), plan.target
    if plan.bulk:
        return BulkLoad(share, process, plan.processes)
    *_, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
    where = (str(address[0]), int(address[1]))
    if target.http2:
        return Http2Load(share, process, plan.processes, where)
    tls = target.tls_context() if target.tls else None
    return Http1Load(share, process, plan.processes, Sockets(where, tls, target.host))


if __name__ == "__main__":
    main()
