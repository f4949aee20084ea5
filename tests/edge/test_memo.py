"""What is remembered of requests: a bounded number, the hot ones, and never a secret."""

from __future__ import annotations

import gc

import trio

from parparchik.edge import memo
from parparchik.edge.memo import Memo, Understood
from parparchik.model import Answer
from tests.edge.conftest import Known, Running
from tests.edge.test_edge import SAFETY_S, get, locations

PIPELINED = 100


def understood() -> Understood:
    return Understood(Known(Answer(204)), "GET", b"/", ends=False, request_id=b"")


def offer_twice(remembered: Memo, numbers: range) -> None:
    for number in numbers:
        for _ in range(2):
            remembered.offer(b"%d" % number, understood())


def test_a_head_is_kept_from_the_second_time_on() -> None:
    remembered, known = Memo(), understood()
    remembered.offer(b"a", known)
    assert remembered.get(b"a") is None
    remembered.offer(b"a", known)
    assert remembered.get(b"a") is known
    remembered.clear()
    assert remembered.get(b"a") is None
    assert len(remembered) == 0


def test_two_generations_are_kept_and_what_is_used_stays() -> None:
    remembered, hot = Memo(), understood()
    young = remembered.young
    for _ in range(2):
        remembered.offer(b"hot", hot)
    for start in range(0, 10 * memo.GENERATION, memo.GENERATION // 2):
        offer_twice(remembered, range(start, start + memo.GENERATION // 2))
        assert remembered.get(b"hot") is hot
        assert len(remembered) <= 2 * memo.GENERATION
    assert remembered.young is young  # whoever serves looks there
    assert remembered.get(b"0") is None
    last = 10 * memo.GENERATION - 1
    assert remembered.get(b"%d" % last) is not None


def test_heads_that_come_once_push_nothing_out_and_cost_a_number_each() -> None:
    remembered, hot = Memo(), understood()
    for _ in range(2):
        remembered.offer(b"hot", hot)
    for number in range(200_000):
        remembered.offer(b"%d" % number, hot)
    assert remembered.get(b"hot") is hot
    assert len(remembered) == 1
    assert len(remembered._seen) <= memo._SEEN_MAX


def test_a_head_of_unusual_size_is_not_kept() -> None:
    remembered = Memo()
    for size, kept in ((memo.LARGEST_HEAD_BYTES, True), (memo.LARGEST_HEAD_BYTES + 1, False)):
        for _ in range(3):
            remembered.offer(b"x" * size, understood())
        assert (remembered.get(b"x" * size) is not None) is kept


async def test_a_hot_request_survives_a_flood_of_others(up: Running) -> None:
    with trio.fail_after(SAFETY_S * 3):
        for _ in range(3):
            await up.talk(get(b"/hot"))
        for start in range(0, 12_000, PIPELINED):
            data = b"".join(get(b"/%d" % number) for number in range(start, start + PIPELINED))
            await up.talk(data * 2)
            assert locations(await up.talk(get(b"/hot"))) == [b"/hot"]
        assert [request.target for request in up.routes.asked].count(b"/hot") == 2
        assert memo.GENERATION < up.edge.statistics().memoised <= 2 * memo.GENERATION


async def test_no_secret_stays_in_memory(up: Running) -> None:
    lines = (
        b"Authorization: Bearer s3cr3t",
        b"AUTHORIZATION:s3cr3t",
        b"Proxy-Authorization: Basic s3cr3t",
        b"x-api-key:\ts3cr3t",
        b"Cookie: session=s3cr3t",
        b"X-Request-Id: s3cr3t",
    )
    for line in lines:
        for _ in range(4):
            await up.talk(get(b"/a", line), get(b"/a", line) * 2)
    assert up.edge.statistics().memoised == 0
    up.routes.asked.clear()
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, dict)]
    assert not any(
        isinstance(key, bytes) and b"s3cr3t" in key for table in kept for key in list(table)
    )
