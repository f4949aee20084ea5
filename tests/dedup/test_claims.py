"""Claims outlive long work, end work that has lost them, and are released when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
import trio

from parparchik.dedup.claims import Claims
from parparchik.dedup.types import Claim
from parparchik.errors import ClaimLost, MetadataUnavailable
from tests.dedup.fake_metadata import FakeMetadata

LIFE_S = 120.0
DIGESTS = tuple(f"{n:064x}" for n in range(5))


class Metadata(FakeMetadata):
    """`fail` may raise where a claim is renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed_at: list[float] = []
        self.fail: Callable[[str], None] = lambda digest: None

    async def renew(self, claim: Claim, *, now_s: float, life_s: float) -> bool:
        self.renewed_at.append(now_s)
        self.fail(claim.digest)
        return await super().renew(claim, now_s=now_s, life_s=life_s)


@pytest.fixture
def metadata() -> Metadata:
    return Metadata()


@asynccontextmanager
async def at_work(metadata: Metadata) -> AsyncIterator[Claims]:
    """Only for `async with` in the test itself, for it yields in a nursery."""
    claims = Claims(metadata, life_s=LIFE_S, now=trio.current_time)
    async with trio.open_nursery() as nursery:
        await nursery.start(claims.run)
        yield claims
        nursery.cancel_scope.cancel()


def lasting(seconds: float) -> Callable[[Claim], Awaitable[str]]:
    async def work(claim: Claim) -> str:
        await trio.sleep(seconds)
        return claim.digest

    return work


async def test_short_work_is_over_before_anything_is_renewed(
    metadata: Metadata, autojump_clock: object
) -> None:
    async with at_work(metadata) as claims:
        assert await claims.hold(DIGESTS[0], lasting(1)) == DIGESTS[0]
        await trio.sleep(10 * LIFE_S)
        assert metadata.renewed_at == []


async def test_long_work_keeps_its_claim(metadata: Metadata, autojump_clock: object) -> None:
    async with at_work(metadata) as claims:
        await trio.sleep(17)  # between two looks
        held = 0

        async def work(claim: Claim) -> None:
            nonlocal held
            for _ in range(1_000):
                await trio.sleep(1)
                assert metadata.claims[claim.token].ends_at > trio.current_time() + LIFE_S / 2
                held += 1

        await claims.hold(DIGESTS[0], work)
        assert held == 1_000


async def test_a_database_that_is_away_has_more_chances(
    metadata: Metadata, autojump_clock: object
) -> None:
    async with at_work(metadata) as claims:

        def fail(digest: str) -> None:
            if len(metadata.renewed_at) in (2, 3):
                raise MetadataUnavailable("away")

        metadata.fail = fail
        with structlog.testing.capture_logs() as logs:
            assert await claims.hold(DIGESTS[0], lasting(1_000)) == DIGESTS[0]
        assert [each["log_level"] for each in logs] == ["warning"] * 2


async def test_what_has_lost_its_claim_ends_and_nothing_else(
    metadata: Metadata, autojump_clock: object
) -> None:
    async with at_work(metadata) as claims:
        done: list[str] = []
        lost: list[str] = []

        async def hold(digest: str) -> None:
            try:
                done.append(await claims.hold(digest, lasting(500)))
            except ClaimLost:
                assert trio.current_time() < 100
                lost.append(digest)

        async with trio.open_nursery() as nursery:
            for digest in DIGESTS:
                nursery.start_soon(hold, digest)
            await trio.sleep(30)
            for token in [
                token for token, held in metadata.claims.items() if held.digest < DIGESTS[2]
            ]:
                del metadata.claims[token]
        assert sorted(lost) == list(DIGESTS[:2])
        assert sorted(done) == list(DIGESTS[2:])


async def test_a_fault_of_one_renewal_costs_nobody_else_his_claim(
    metadata: Metadata, autojump_clock: object
) -> None:
    async with at_work(metadata) as claims:

        def fail(digest: str) -> None:
            if digest == DIGESTS[0]:
                raise RuntimeError("a bug")

        metadata.fail = fail
        with structlog.testing.capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                for digest in DIGESTS[:2]:
                    nursery.start_soon(claims.hold, digest, lasting(500))
                await trio.sleep(400)
                assert [held.digest for held in metadata.claims.values() if held.ends_at > 400] == [
                    DIGESTS[1]
                ]
        assert {each["log_level"] for each in logs} == {"error"}


async def test_it_is_released_when_work_fails_or_is_cancelled(
    metadata: Metadata, autojump_clock: object
) -> None:
    async with at_work(metadata) as claims:

        async def broken(claim: Claim) -> None:
            assert len(metadata.claims) == 1
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError):
            await claims.hold(DIGESTS[0], broken)
        assert metadata.claims == {}
        with trio.move_on_after(5):
            await claims.hold(DIGESTS[0], lasting(10))
        assert metadata.claims == {}
        await trio.sleep(LIFE_S)
        assert metadata.renewed_at == []
