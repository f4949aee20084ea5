"""Files of routes that are served through us."""

from __future__ import annotations

from parparchik.cache import Policy
from parparchik.delivery import CachedRelay
from parparchik.errors import Unavailable
from parparchik.model import Answer, Bucket, Entry
from tests.delivery.scene import Scene, receive, request_with

ENTRY = Entry("film.mp4", Bucket("bucket"), 10)
ABSENT = Answer(404, body=b"gone", kind="private")


def relay(scene: Scene) -> CachedRelay:
    return CachedRelay(scene.deliverer, Policy(), compress_min_bytes=None)


async def test_the_file_and_its_ranges(scene: Scene) -> None:
    scene.put("film.mp4", b"0123456789")
    question = relay(scene).ask(request_with(range="bytes=2-4"), ENTRY, absent=ABSENT)
    answer = question.answer_nowait() or await question.answer()
    got = await receive(answer)
    assert (got.status, got.body, got["content-type"]) == (206, b"234", "video/mp4")
    assert answer.kind == "private"


async def test_gone(scene: Scene) -> None:
    assert await relay(scene).ask(request_with(), ENTRY, absent=ABSENT).answer() is ABSENT


async def test_s3_is_away(scene: Scene) -> None:
    scene.cache.failure = Unavailable("S3 is away", retry_after_s=7)
    answer = await relay(scene).ask(request_with(), ENTRY, absent=ABSENT).answer()
    assert (answer.status, answer.kind) == (503, "private")
    assert (b"retry-after", b"7") in answer.headers


async def test_files_behind_a_key_are_nobody_elses(scene: Scene) -> None:
    """A cache in front of us would give them to whoever has no key."""
    scene.put("film.mp4", b"0123456789")
    for needs_keys, public, vary in (
        (True, False, "authorization, x-api-key"),
        (True, True, None),
        (False, False, None),
    ):
        relay = CachedRelay(
            scene.deliverer, Policy(), compress_min_bytes=None, needs_keys=needs_keys
        )
        entry = Entry("film.mp4", Bucket("bucket", public=public), 10)
        question = relay.ask(request_with(), entry, absent=ABSENT)
        answer = question.answer_nowait() or await question.answer()
        vary_headers = [value for name, value in answer.headers if name == b"vary"]
        assert vary_headers == ([vary.encode()] if vary else [])
