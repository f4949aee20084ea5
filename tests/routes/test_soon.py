"""Answers that wait for S3 without a task: the same as those that wait in one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from trio.testing import MockClock

from parparchik.config import AuthConfig, RoutesConfig
from parparchik.errors import UpstreamError
from parparchik.model import Answer, Method, Request, Unfinished
from parparchik.registry import Service
from parparchik.routes import Responder
from tests.fakes import NOW_S, PromptBucket, denied, unavailable
from tests.routes.front import VAULT, header


class Vault:
    """A private bucket with the key `a`, every request of which is verified."""

    def __init__(self, *, api_keys: tuple[str, ...] = ()) -> None:
        self.bucket = PromptBucket(VAULT, "a")
        config = RoutesConfig(verify="always")
        self._service = Service([self.bucket], config, now=lambda: NOW_S)
        auth = AuthConfig(api_keys=api_keys)
        self._responder = Responder(
            self._service, [self.bucket], config, auth, now=lambda: float(NOW_S)
        )

    async def learn(self) -> None:
        await self._service.resolve("a")

    async def soon(self, target: bytes, *, method: Method = "GET", key: bytes = b"") -> Answer:
        """Asserts that no task was needed, unless S3's answer was out of the ordinary."""
        question = self._responder.ask(Request(method, target, key))
        assert question.answer_nowait() is None
        told: list[Answer | Unfinished[Answer]] = []
        assert question.answer_soon(told.append)
        assert not told
        self.bucket.answer()
        (outcome,) = told
        return await outcome.finish() if isinstance(outcome, Unfinished) else outcome

    def begins(self, target: bytes) -> bool:
        return self._responder.ask(Request("GET", target)).answer_soon(lambda _: None)

    async def answer(self, target: bytes, *, method: Method = "GET", key: bytes = b"") -> Answer:
        return await self._responder.ask(Request(method, target, key)).answer()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_file_that_is_there(autojump_clock: MockClock, method: Method) -> None:
    vault = Vault()
    await vault.learn()
    answer = await vault.soon(b"/vault/a", method=method)
    assert answer.status == 302
    assert answer == await vault.answer(b"/vault/a", method=method)
    assert await vault.soon(b"/vault/a", method=method) is not None
    assert f"for={method}" in header(answer, b"location")


async def test_the_same_answer_is_the_same_object(autojump_clock: MockClock) -> None:
    vault = Vault()
    await vault.learn()
    assert await vault.soon(b"/vault/a") is await vault.soon(b"/vault/a")


async def test_a_file_that_has_gone(autojump_clock: MockClock) -> None:
    vault = Vault()
    await vault.learn()
    vault.bucket.remove("a")
    assert (await vault.soon(b"/vault/a")).status == 404


@pytest.mark.parametrize("error", [unavailable, denied])
async def test_s3_that_fails_makes_it_stale(
    autojump_clock: MockClock, error: Callable[[], UpstreamError]
) -> None:
    vault = Vault()
    await vault.learn()
    vault.bucket.fail(error)
    answer = await vault.soon(b"/vault/a")
    assert answer.status == 302
    assert header(answer, b"x-parparchik-verified") == "stale"
    assert not vault.begins(b"/vault/a")  # a bucket in trouble takes the careful way


async def test_permission_is_asked_for_all_the_same(autojump_clock: MockClock) -> None:
    vault = Vault(api_keys=("sesame",))
    await vault.learn()
    assert (await vault.soon(b"/vault/a")).status == 401
    assert (await vault.soon(b"/vault/a", key=b"sesame")).status == 302


async def test_what_needs_no_s3_or_a_task_does_not_begin(autojump_clock: MockClock) -> None:
    vault = Vault()
    await vault.learn()
    for target in (b"/", b"/other/a", b"/vault/..", b"/vault/unknown"):
        assert not vault.begins(target)
    vault.bucket.ready = False
    assert not vault.begins(b"/vault/a")
    assert not vault.bucket.begun
