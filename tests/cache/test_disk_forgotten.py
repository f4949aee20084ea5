"""What is written down of what was forgotten, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.forgotten import NAMES_MAX, Forgotten
from parparchik.cache.disk.log import Clear, ForgottenLog
from parparchik.cache.disk.removal import Unsynced
from tests.cache.disks import name


def test_what_was_saved_before_is_meant_and_what_was_saved_after_is_not() -> None:
    first = Forgotten("one")
    first.add(name("a"), 7)
    first.add_below("bucket", "b/", 3)
    for forgotten in (first, read(first)):
        assert forgotten.covers(name("a"), "one", 7)
        assert forgotten.covers(name("b/x"), "one", 3)
        assert forgotten.covers(name("a"), "earlier", 100)
        assert forgotten.covers(name("b/"), "earlier", 100)
        assert not forgotten.covers(name("a"), "one", 8)
        assert not forgotten.covers(name("b/x"), "one", 4)
        assert not forgotten.covers(name("a/"), "earlier", 1)
        assert not forgotten.covers(name("a", "other"), "earlier", 1)
        assert not forgotten.covers(name("b/x", "other"), "earlier", 1)


def read(before: Forgotten, spoil: Callable[[bytes], bytes] = bytes) -> Forgotten:
    after = Forgotten("two")
    after.read(spoil(b"".join(before.lines())))
    return after


@pytest.mark.parametrize("torn", [b'{"run":"one","num', b"\xff\xff", b"null\n", b"{}", b"\0" * 99])
def test_a_torn_line_takes_no_other_with_it(torn: bytes) -> None:
    before = Forgotten("one")
    lines = before.add(name("a"), 1) + torn + before.add(name("b"), 2)
    after = Forgotten("two")
    after.read(lines)
    assert after.covers(name("a"), "zero", 1)
    assert after.covers(name("b"), "zero", 1)
    assert not after.covers(name("c"), "zero", 1)


def test_an_object_that_was_forgotten_again_later() -> None:
    before = Forgotten("one")
    before.add(name("a"), 1)
    before.add(name("a"), 5)
    assert read(before).covers(name("a"), "one", 5)


def test_memory_is_bounded() -> None:
    forgotten = Forgotten("one")
    for number in range(NAMES_MAX + 1):
        forgotten.add(name(f"{number}"), number)
    assert forgotten.covers(name("anything"), "zero", 1)
    assert not forgotten.covers(name("anything", "other"), "zero", 1)
    assert len(list(forgotten.lines())) == NAMES_MAX + 1


def test_nothing_is_kept_in_mind_once_all_is_known() -> None:
    forgotten = Forgotten("one")
    forgotten.forgetful = True
    line = forgotten.add(name("a"), 1)
    assert not list(forgotten.lines())
    after = Forgotten("two")
    after.read(line)
    assert after.covers(name("a"), "one", 1)


def test_all_is_doubted_where_it_cannot_be_read() -> None:
    forgotten = Forgotten("two")
    forgotten.distrust()
    assert forgotten.covers(name("a"), "one", 1)
    assert not forgotten.covers(name("a"), "two", 1)


def test_what_is_written_down_stays_while_a_file_could_not_be_deleted(tmp_path: Path) -> None:
    """Though the event loop has not heard of it yet."""
    directory = Directory(tmp_path, "cache")
    log, unsynced = ForgottenLog(directory), Unsynced(directory.path)
    log.append(b"line")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        unsynced.unlink(str(tmp_path / "folder"))
    for failures, cleared in ((0, False), (1, True)):
        clear = Clear(log, unsynced, failures)
        clear.do()
        assert clear.cleared == cleared
        assert (tmp_path / "forgotten").exists() == (not cleared)
