"""Files of buckets that are served through us: the same routes and permissions, other answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from parparchik.model import Answer, Entry, Question, Request, Unfinished
from tests.routes.front import KEY, Site, body, site


class Delivered:
    """A question to whoever delivers: `known` answers at once."""

    def __init__(self, answer: Answer, *, known: bool) -> None:
        self._answer = answer
        self._known = known

    def answer_nowait(self) -> Answer | None:
        return self._answer if self._known else None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        return self._answer


class Deliverer:
    """Delivers everything but the keys in `gone`."""

    def __init__(self, *, known: bool = True) -> None:
        self.known = known
        self.gone: set[str] = set()
        self.asked: list[tuple[Request, Entry]] = []

    def ask(self, request: Request, entry: Entry, *, absent: Answer) -> Question:
        self.asked.append((request, entry))
        found = Answer(200, body=f"{request.method} {entry.key}".encode())
        return Delivered(absent if entry.key in self.gone else found, known=self.known)


def relayed(deliverer: Deliverer, *, keys: tuple[str, ...] = ()) -> Site:
    """The private bucket is served through us, the public one is not."""
    return site("plain", "secret other", keys=keys, relays={"vault": deliverer})


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("target", ["/vault/secret", "/private/secret", "/files/secret"])
async def test_the_file_itself_by_whichever_route(
    autojump_clock: MockClock, target: str, *, known: bool
) -> None:
    world = relayed(Deliverer(known=known))
    assert (await world.answer(target)).body == b"GET secret"
    assert (await world.answer(target, method="HEAD")).body == b"HEAD secret"


async def test_other_buckets_redirect(autojump_clock: MockClock) -> None:
    deliverer = Deliverer()
    assert await relayed(deliverer).status("/files/plain") == 302
    assert not deliverer.asked


async def test_headers_reach_whoever_delivers(autojump_clock: MockClock) -> None:
    deliverer = Deliverer()
    world = relayed(deliverer)
    request = Request("GET", b"/vault/secret", headers=((b"range", b"bytes=0-"),))
    await world.responder.ask(request).answer()
    assert deliverer.asked[0][0].header(b"range") == b"bytes=0-"


async def test_permission_comes_first(autojump_clock: MockClock) -> None:
    deliverer = Deliverer()
    world = relayed(deliverer, keys=(KEY.decode(),))
    assert await world.status("/vault/secret") == 401
    assert not deliverer.asked
    assert await world.status("/vault/secret", key=KEY) == 200


async def test_gone_since_it_was_verified(autojump_clock: MockClock) -> None:
    deliverer = Deliverer()
    deliverer.gone.add("secret")
    answer = await relayed(deliverer).answer("/vault/secret")
    assert answer.status == 404
    assert body(answer) == {"error": "file not found", "route": "/vault/secret"}


async def test_nowhere(autojump_clock: MockClock) -> None:
    deliverer = Deliverer()
    assert await relayed(deliverer).status("/vault/nothing") == 404
    assert not deliverer.asked


async def test_a_question_asked_again(autojump_clock: MockClock) -> None:
    """Whoever delivers is asked once for one file, and again for its next version."""
    deliverer = Deliverer()
    world = relayed(deliverer)
    question = world.responder.ask(Request("GET", b"/vault/secret"))
    await question.answer()
    for _ in range(3):
        answer = question.answer_nowait()
        assert answer is not None
        assert answer.body == b"GET secret"
    assert len(deliverer.asked) == 1
    world.vault.add("secret", b"new", last_modified_s=1)
    await trio.sleep(10)  # its verification has run out
    assert (await question.answer()).status == 200
    assert len(deliverer.asked) == 2


async def test_a_file_that_moved_to_a_bucket_that_redirects(autojump_clock: MockClock) -> None:
    world = relayed(Deliverer())
    assert await world.status("/vault/secret") == 200
    world.files.add("secret")
    world.vault.remove("secret")
    await trio.sleep(10)  # its verification has run out
    assert await world.status("/vault/secret") == 302
