"""An answer that is given again is the same object, and what that may cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parparchik.content import Span
from parparchik.delivery import ObjectQuestion
from parparchik.delivery.answers import Prepared
from parparchik.delivery.remembered import Remembered
from parparchik.errors import ParparchikError, Unavailable
from parparchik.model import Answer
from parparchik.rfc import frame
from tests.delivery.scene import Scene, receive, request_with, serving

BROWSER = {"accept_encoding": "gzip, br", "user_agent": "one"}


async def test_the_same_wishes_get_the_same_answer(memory: Scene) -> None:
    memory.put("a.html", b"hello")
    asked = serving("a.html")
    one = memory.deliverer.answer_nowait(request_with(**BROWSER), asked)
    other = memory.deliverer.answer_nowait(
        request_with(**{**BROWSER, "user_agent": "other"}), replace(asked)
    )
    assert one is other is not None


@pytest.mark.parametrize(
    "fields",
    [{"range": "bytes=0-1"}, {"if_none_match": '"abc"'}, {"range": "bytes=0-0,-1"}, {}],
)
async def test_every_kind_of_answer(memory: Scene, fields: dict[str, str]) -> None:
    memory.put("a.html", b"hello" * 1000)
    asked = serving("a.html")
    for method in ("GET", "HEAD"):
        request = request_with(method, **fields)
        one = memory.deliverer.answer_nowait(request, asked)
        assert memory.deliverer.answer_nowait(request, asked) is one is not None


async def test_other_wishes_get_another(memory: Scene) -> None:
    memory.put("a.html", b"hello" * 100)
    memory.put("b.html", b"hello" * 100)
    ask = memory.deliverer.answer_nowait
    asked = serving("a.html")
    answers = [
        ask(request_with(), asked),
        ask(request_with("HEAD"), asked),
        ask(request_with(range="bytes=0-1"), asked),
        ask(request_with(range="bytes=0-2"), asked),
        ask(request_with(), replace(asked, kind="other")),
        ask(request_with(), replace(asked, headers=((b"a", b"b"),))),
        ask(request_with(), serving("b.html")),
    ]
    assert len({id(answer) for answer in answers}) == len(answers)
    assert None not in answers


async def test_a_second_later_it_is_older(memory: Scene) -> None:
    found = memory.put("a", b"hello")
    one = memory.deliverer.answer_nowait(request_with(), serving("a"))
    found.age_s += 1
    other = memory.deliverer.answer_nowait(request_with(), serving("a"))
    assert isinstance(one, Answer)
    assert isinstance(other, Answer)
    assert (b"age", b"0") in one.headers
    assert (b"age", b"1") in other.headers


async def test_a_new_object_is_a_new_answer(memory: Scene) -> None:
    memory.put("a", b"hello")
    one = memory.deliverer.answer_nowait(request_with(), serving("a"))
    memory.put("a", b"hallo")
    other = memory.deliverer.answer_nowait(request_with(), serving("a"))
    assert isinstance(one, Answer)
    assert isinstance(other, Answer)
    assert (one.body, other.body) == (b"hello", b"hallo")


def test_memory_is_bounded(memory: Scene) -> None:
    remembered = Remembered(100_000)
    founds = [memory.put(f"{n}", b"x" * 10_000) for n in range(20)]
    answers = [Prepared(Answer(200, body=b"x" * 10_000)) for _ in founds]
    for n, (found, answer) in enumerate(zip(founds, answers, strict=True)):
        remembered.keep(n, found, 0, answer)
        remembered.keep(n, found, 1, answer)
        assert remembered.get(0, founds[0], 1) is answers[0]
        assert remembered.size_bytes <= 100_000
    assert len(remembered) == 100_000 // (20_000 + 4096)
    assert remembered.get(19, founds[19], 1) is answers[19]
    assert remembered.get(10, founds[10], 1) is None


def test_long_headers_count(memory: Scene) -> None:
    remembered = Remembered(100_000)
    found = memory.put("a", b"")
    for n in range(20):
        answer = Answer(200, ((b"x-amz-meta-a", b"x" * 10_000),))
        remembered.keep(n, found, 0, Prepared(answer))
    assert len(remembered) == 100_000 // (10_000 + 4096)


@pytest.mark.parametrize("name", ["if_none_match", "if_match", "if_range", "accept_encoding"])
async def test_nor_does_a_client_fill_the_memory_with_what_it_sends(
    memory: Scene, name: str
) -> None:
    memory.put("a", b"hello")
    fields = {name: '"x"' + " " * 2000, **({"range": "bytes=0-1"} if name == "if_range" else {})}
    request = request_with(**fields)
    one = memory.deliverer.answer_nowait(request, serving("a"))
    assert one is not None
    assert memory.deliverer.answer_nowait(request, serving("a")) is not one


async def test_large_answers_and_parts_are_not_kept(memory: Scene) -> None:
    remembered = Remembered(100 << 20)
    found = memory.put("a", b"x" * (1 << 20))
    remembered.keep("large", found, 0, Prepared(Answer(200, body=b"x")))
    parts = frame((Span(0, 0),), size_bytes=9, content_type="a/b", boundary="b")
    remembered.keep("parts", memory.put("b", b"x"), 0, Prepared(Answer(206), found, parts))
    assert len(remembered) == 0


async def test_content_is_opened_anew_for_each(memory: Scene) -> None:
    memory.cache.in_memory = False
    memory.put("a", b"hello").at_hand = True
    request, asked = request_with(range="bytes=1-3"), serving("a")
    answers = [memory.deliverer.answer_nowait(request, asked) for _ in range(3)]
    contents = []
    for answer in answers:
        assert isinstance(answer, Answer)
        contents.append(answer.content)
        assert (await receive(answer)).body == b"ell"
    assert len(set(map(id, contents))) == 3
    assert memory.cache.objects[asked.name].open_contents == 0


class TestObjectQuestion:
    ABSENT = Answer(404, body=b"no")

    def _question(self, scene: Scene, **fields: str) -> ObjectQuestion:
        def failed(error: ParparchikError) -> Answer:
            return Answer(error.status, body=str(error).encode())

        return ObjectQuestion(
            scene.deliverer,
            request_with(**fields),
            serving("a"),
            absent=self.ABSENT,
            failed=failed,
        )

    async def test_the_object(self, memory: Scene) -> None:
        memory.put("a", b"hello", known=False)
        question = self._question(memory, range="bytes=0-0")
        assert question.answer_nowait() is None
        assert not question.answer_soon(lambda answer: None)
        assert (await question.answer()).body == b"h"
        memory.cache.known.add(serving("a").name)
        answer = question.answer_nowait()
        assert answer is not None
        assert (answer.status, answer.body) == (206, b"h")
        assert question.answer_nowait() is answer

    async def test_no_object(self, memory: Scene) -> None:
        question = self._question(memory)
        assert await question.answer() is self.ABSENT
        memory.cache.gone.add(serving("a").name)
        assert question.answer_nowait() is self.ABSENT

    async def test_no_s3(self, memory: Scene) -> None:
        memory.cache.failure = Unavailable("away")
        answer = await self._question(memory).answer()
        assert (answer.status, answer.body) == (503, b"away")
