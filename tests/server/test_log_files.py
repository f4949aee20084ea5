"""A log in files: by the day, bounded, and never in anybody's way."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from parparchik.config.model import LogConfig
from parparchik.errors import ConfigError
from parparchik.server.log import access_lines, configure_logging
from parparchik.server.log_files import open_log

DAY_S = 86_400
NOW_S = 1_763_661_600.0  # 2025-11-20 18:00:00


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class Log:
    def __init__(self, directory: Path, keep_days: int = 30, keep_bytes: int = 1 << 30) -> None:
        self.clock = Clock()
        self.directory = directory
        self.config = LogConfig(directory=directory, keep_days=keep_days, keep_bytes=keep_bytes)
        self.stream = self.open()

    def open(self) -> TextIO:
        return open_log(self.config, now=self.clock)

    def write(self, text: str, *, after_s: float = 2.0) -> None:
        self.clock.now_s += after_s
        self.stream.write(text)

    @property
    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.directory.iterdir())}


def test_a_file_a_day(tmp_path: Path) -> None:
    log = Log(tmp_path / "new" / "logs")
    log.write("a\n")
    log.write("b ü\n")
    log.write("c\n", after_s=6 * 3600)
    assert log.files == {
        "parparchik-2025-11-20.log": "a\nb ü\n",
        "parparchik-2025-11-21.log": "c\n",
    }


def test_what_was_there_stays(tmp_path: Path) -> None:
    Log(tmp_path).write("a\n")
    Log(tmp_path).write("b\n")
    assert log_of_today(tmp_path) == "a\nb\n"


def log_of_today(directory: Path) -> str:
    return (directory / "parparchik-2025-11-20.log").read_text()


def test_several_write_to_the_same(tmp_path: Path) -> None:
    first, second = Log(tmp_path), Log(tmp_path)
    for number in range(5):
        first.write(f"first {number}\n")
        second.write(f"second {number}\n")
    assert log_of_today(tmp_path).splitlines()[:3] == ["first 0", "second 0", "first 1"]


def test_old_days_go_and_other_files_stay(tmp_path: Path) -> None:
    others = ("notes.txt", "parparchik-x.log", "parparchik-2001-99-99.log", "parparchik-2001.log")
    for name in (*others, "parparchik-2025-11-17.log", "parparchik-2025-11-18.2.log"):
        (tmp_path / name).write_text("x\n")
    log = Log(tmp_path, keep_days=3)
    assert set(log.files) == {*others, "parparchik-2025-11-18.2.log", "parparchik-2025-11-20.log"}
    log.write("a\n", after_s=DAY_S)
    assert set(log.files) == {*others, "parparchik-2025-11-20.log", "parparchik-2025-11-21.log"}


@pytest.mark.parametrize("after_s", [0.0, 300.0])
def test_all_together_never_have_more_than_they_may(tmp_path: Path, after_s: float) -> None:
    log = Log(tmp_path, keep_bytes=8_000)
    most = 0
    for number in range(500):
        log.write(f"{number:099}\n", after_s=after_s)
        sizes = [path.stat().st_size for path in tmp_path.iterdir()]
        most = max(most, sum(sizes))
    assert most <= 8_000
    assert most > 6_000
    kept = "".join(
        path.read_text()
        for path in sorted(tmp_path.iterdir(), key=lambda p: (p.name[:21], len(p.name), p.name))
    )
    numbers = [int(line) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 500))


@pytest.mark.parametrize("way", ["moved", "removed", "replaced"])
def test_a_file_that_is_taken_away_is_made_again(tmp_path: Path, way: str) -> None:
    log = Log(tmp_path)
    log.write("a\n")
    path = tmp_path / "parparchik-2025-11-20.log"
    if way == "removed":
        path.unlink()
    else:
        path.rename(tmp_path / "archive")
    if way == "replaced":
        path.write_text("other\n")
    log.write("b\n")
    assert path.read_text() == ("other\nb\n" if way == "replaced" else "b\n")


def test_a_full_disk_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path)
    log.write("before\n")
    write, room = os.write, [3]

    def full(descriptor: int, data: bytes) -> int:
        if descriptor == 2:
            return write(descriptor, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        fits, room[0] = room[0], 0
        return write(descriptor, data[:fits])

    monkeypatch.setattr(os, "write", full)
    log.write("half\n")
    log.write("lost\n")
    monkeypatch.undo()
    log.write("after\n")
    assert log_of_today(tmp_path) == "before\nhal\nafter\n"
    assert capfd.readouterr().err == "f\nlost\n"


def test_a_directory_that_goes_stops_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "logs"
    log = Log(directory)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    log.write("lost\n")
    assert capfd.readouterr().err == "lost\n"
    directory.mkdir()
    log.write("back\n")
    assert log_of_today(directory) == "back\n"


def test_to_standard_error_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Once: what no file takes has been said already."""
    directory = tmp_path / "logs"
    stream = open_log(LogConfig(directory=directory, console=True), now=Clock())
    stream.write("both\n")
    assert log_of_today(directory) == capfd.readouterr().err == "both\n"
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data if fd == 2 else data[:2]))
    stream.write("half\n")
    monkeypatch.undo()
    assert capfd.readouterr().err == "half\n"
    assert log_of_today(directory) == "both\nha"


def test_a_directory_that_cannot_be_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="log's directory"):
        open_log(LogConfig(directory=tmp_path / "file" / "logs"))


def test_all_that_is_logged_goes_there(tmp_path: Path) -> None:
    config = LogConfig(directory=tmp_path, format="auto")
    try:
        configure_logging(config, secrets=["a-secret-of-ours"])
        structlog.get_logger("x").info("hello", key="a-secret-of-ours")
        lines = access_lines(config)
        assert lines is not None
        lines.append(lines.prepare({"path": "/x"}), 0.1, "::1", b"id")
        lines.flush()
    finally:
        configure_logging(LogConfig())
    (path,) = tmp_path.iterdir()
    first, second = path.read_text().splitlines()
    assert '"event": "hello"' in first
    assert "a-secret-of-ours" not in first
    assert '"path":"/x"' in second
