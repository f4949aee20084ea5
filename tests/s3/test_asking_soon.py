"""Any small operation without a task: what its answer is judged to be, its time, and what it is
counted as."""

from __future__ import annotations

import httpx
import pytest
import trio
import trio.testing

from parparchik.errors import Unavailable
from parparchik.model import Unfinished
from parparchik.s3.asking import Asking
from parparchik.s3.auth import SigV4Auth
from parparchik.s3.call import Caller
from parparchik.s3.operation import Operations
from parparchik.s3.response import Reply
from parparchik.s3.retry import RETRY_COST, Retrier, RetryBudget
from parparchik.s3.transport import Transport
from tests.s3.errand_scene import Errands, Opened, after_first, silent
from tests.s3.fake_s3 import KEYS, answer
from tests.s3.scripted import OK, Peer

Told = bytes | Unfinished[bytes]


def body_of(reply: Reply) -> bytes:
    return reply.body


class Asker:
    """Asks for a key, with `total_s` for what has no time of its own."""

    def __init__(self, transport: Transport, errands: Errands, *, total_s: float = 5.0) -> None:
        self.budget = RetryBudget()
        self.operations = Operations("files", Retrier(1, self.budget), total_s=total_s)
        auth = SigV4Auth(lambda: KEYS, "eu-west-1")
        caller = Caller(transport, errands.server.origin, auth, httpx.Timeout(60))
        self._asking = Asking(caller, self.operations, bucket="files", region="eu-west-1")

    async def ask(
        self, method: str = "PUT", *pieces: bytes | memoryview, total_s: float | None = None
    ) -> Told:
        told: list[Told] = []
        done = trio.Event()

        def then(outcome: Told) -> None:
            told.append(outcome)
            done.set()

        assert self._asking.ask_soon(
            *("put", method, "/k", body_of, then),
            headers={"content-length": str(sum(map(len, pieces)))},
            pieces=pieces,
            total_s=total_s,
        )
        with trio.fail_after(5):
            await done.wait()
        [outcome] = told
        return outcome


async def answer_all(peer: Peer) -> None:
    await peer.send(OK)
    while await peer.request():
        await peer.send(OK)


async def test_an_answer_is_what_it_is_judged_to_be(opened: Opened) -> None:
    errands = await opened(after_first(answer_all))
    asker = Asker(opened.transport, errands)
    assert await asker.ask("PUT", b"ab", memoryview(b"cd")) == b"ok"
    assert await asker.ask("DELETE") == b"ok"
    last = errands.server.requests[-2:]
    assert [(seen.method, seen.target, seen.body) for seen in last] == [
        ("PUT", "/k", b"abcd"),
        ("DELETE", "/k", b""),
    ]


async def test_a_success_pays_for_retries_of_others(opened: Opened) -> None:
    asker = Asker(opened.transport, await opened(after_first(answer_all)))
    while asker.budget.spend():
        pass
    for _ in range(RETRY_COST):
        assert not asker.budget.spend()
        await asker.ask()
    assert asker.budget.spend()


@pytest.mark.parametrize(("general_s", "own_s"), [(0.3, None), (60, 0.3)])
async def test_its_time(opened: Opened, general_s: float, own_s: float | None) -> None:
    errands = await opened(after_first(silent))
    asker = Asker(opened.transport, errands, total_s=general_s)
    told = await asker.ask(total_s=own_s)
    assert isinstance(told, Unfinished)
    with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
        await told.finish()
    assert len(errands.server.requests) == 2
    assert errands.pool == (0, 0)


async def test_what_is_left_to_do_is_judged_likewise(opened: Opened) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(answer(503))
        await peer.request()
        await peer.send(answer(200, {}, b"at last"))
        await peer.request()

    errands = await opened(after_first(script))
    asker = Asker(opened.transport, errands)
    told = await asker.ask("PUT", b"data")
    assert isinstance(told, Unfinished)
    assert await told.finish() == b"at last"
    assert [seen.body for seen in errands.server.requests[1:]] == [b"data"] * 2
    counter = asker.operations.counter("put").snapshot("files", "put")
    assert dict(counter.outcomes)["ok"] == sum(count for _, count in counter.outcomes) == 1
    assert counter.retries == 1
