"""A server that does to each request what a script says, whatever HTTP thinks of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from bench.load import Ask, Cycle, Deck, Expected, Outcome, Plan, Target
from bench.load.child import prepare

Answer = Callable[[bytes, trio.SocketStream], Awaitable[None]]
"""Given a request's path and the connection to answer on; may close it."""

PATH = "/bench/file-0000001"
LOCATION = b"http://127.0.0.1:9/bench/file-0000001"
REDIRECT = (
    b"HTTP/1.1 302 Found\r\nlocation: %b?X-Amz-Signature=%b\r\nx-request-id: %b\r\n"
    b"content-length: 0\r\n\r\n"
)


def redirect(location: bytes = LOCATION, signature: bytes = b"aa", number: int = 1) -> bytes:
    return REDIRECT % (location, signature, b"%032x" % number)


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[Target]:
    async def serve(stream: trio.SocketStream) -> None:
        held = b""
        try:
            async with stream:
                while data := await stream.receive_some():
                    held += data
                    while b"\r\n\r\n" in held:
                        head, _, held = held.partition(b"\r\n\r\n")
                        await answer(head.split(b" ")[1], stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the script closed it, or the load did

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield Target("127.0.0.1", listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def fire_here(
    target: Target,
    deck: Deck | None = None,
    *,
    requests: int | None = 20,
    connections: int = 2,
    rate_per_s: float | None = None,
    keep_alive: bool = True,
    duration_s: float | None = 20.0,
    warm_up_s: float = 0.0,
    timeout_s: float = 10.0,
) -> Outcome:
    """The load in this process: what a load process does, without starting one."""
    plan = Plan(
        target,
        deck or Cycle((Ask(PATH, Expected(302, LOCATION.decode())),)),
        connections=connections,
        rate_per_s=rate_per_s,
        keep_alive=keep_alive,
        duration_s=duration_s,
        requests=requests,
        warm_up_s=warm_up_s,
        timeout_s=timeout_s,
    )
    return await prepare(plan, 0).run()
