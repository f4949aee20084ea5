"""CONTRACT section 4's flaws: what the seed's protocol got wrong, each absent here."""

from __future__ import annotations

from datetime import timedelta

import trio

from parparchik.config import load
from parparchik.server import open_dedup
from tests.contract.dedup import Tracker, environ_of

DATA = b"line after line after line\n" * 400


async def clean(tracker: Tracker) -> None:
    """As `parparchik dedup clean --grace 0` does, beside the server."""
    environ = environ_of(tracker.scene, tracker.directory, PARPARCHIK_DEDUP_GRACE="0")
    async with open_dedup(load(environ).config, environ) as parts:
        report = await parts.cleaner.clean()
        assert report.led
        assert (report.failed, report.missing, report.doubtful) == (0, 0, False)


async def test_its_scripts_took_a_missing_count_for_zero_and_never_uploaded(
    tracker: Tracker,
) -> None:
    """Redis says false where they looked for nil."""
    await tracker.put("a", DATA)
    assert len(tracker.keys()) == 1
    assert await tracker.data("a") == DATA


async def test_its_expiry_stayed_on_a_count_that_was_used_again(tracker: Tracker) -> None:
    """A content whose last file went, and that came back, was forgotten a minute later."""
    await tracker.put("a", DATA)
    await tracker.delete("a")
    await tracker.put("b", DATA)
    await clean(tracker)
    assert await tracker.data("b") == DATA
    await tracker.delete("b")
    await clean(tracker)
    await tracker.put("c", DATA)
    await clean(tracker)
    assert await tracker.data("c") == DATA
    assert len(tracker.keys()) == 1


async def test_its_counts_became_negative(tracker: Tracker) -> None:
    """A second DELETE counted again, and took the content from under another file."""
    await tracker.put("a", DATA)
    await tracker.put("b", DATA)
    for _ in range(3):
        await tracker.delete("a")
    await clean(tracker)
    assert await tracker.data("b") == DATA


async def test_it_never_released_what_was_overwritten(tracker: Tracker) -> None:
    await tracker.put("a", b"old")
    await tracker.put("a", DATA)
    await clean(tracker)
    assert tracker.keys() == [tracker.key(DATA)]
    await tracker.put("a", DATA)  # by the same: it is still referred to
    await clean(tracker)
    assert await tracker.data("a") == DATA


async def test_it_looked_at_the_version_outside_of_the_transaction(tracker: Tracker) -> None:
    """Of an older and a newer upload at the same time the older one could win."""
    for round_ in range(5):
        path = f"a{round_}"
        async with trio.open_nursery() as nursery:
            for version_s in (3, 1, 2):
                nursery.start_soon(tracker.put, path, b"%d" % version_s, version_s)
            nursery.start_soon(tracker.delete, path, 2)
        assert await tracker.data(path) == b"3"
    await clean(tracker)
    assert tracker.keys() == [tracker.key(b"3")]


async def test_what_lay_at_s3_unknown_was_never_found(tracker: Tracker) -> None:
    """It is, when it is older than the grace; what is not named like a blob is left alone."""
    await tracker.put("a", DATA)
    prefix = f"{tracker.directory.name}/"
    for key in (tracker.key(b"stray"), "notes.txt"):
        tracker.scene.put("dedup", prefix + key, b"x")
        tracker.scene.age("dedup", prefix + key, timedelta(days=2))
    await clean(tracker)
    assert sorted(tracker.keys()) == sorted([tracker.key(DATA), "notes.txt"])
