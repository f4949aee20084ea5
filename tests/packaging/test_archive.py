"""The archive's bytes follow from what it holds."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from pyz.archive import make_archive
from pyz.layout import lay_out
from pyz.targets import TARGETS

from tests.packaging.archives import LAUNCHER
from tests.packaging.wheels import native_wheels, write_wheel

TIME_S = 1_700_000_001


def build(directory: Path, text: str = "", umask: int = 0o022) -> bytes:
    previous = os.umask(umask)
    try:
        wheels = [write_wheel(directory, "py3-none-any", {"pure/module.py": text}, "pure")]
        lay_out(wheels, directory / "site-packages")
        target = directory / "app.pyz"
        make_archive(directory / "site-packages", LAUNCHER, "pure:main", TIME_S, target)
        return target.read_bytes()
    finally:
        os.umask(previous)


def test_two_builds_are_byte_identical(tmp_path: Path) -> None:
    assert build(tmp_path / "one") == build(tmp_path / "two", umask=0o077)


def test_the_order_of_wheels_does_not_show(tmp_path: Path) -> None:
    archives = []
    for name, step in (("there", 1), ("back", -1)):
        wheels = native_wheels(tmp_path / name, TARGETS)
        lay_out(wheels[::step], tmp_path / name / "site-packages")
        target = tmp_path / name / "app.pyz"
        make_archive(tmp_path / name / "site-packages", LAUNCHER, "app:main", TIME_S, target)
        archives.append(target.read_bytes())
    assert archives[0] == archives[1]


def test_other_content_is_unpacked_elsewhere(tmp_path: Path) -> None:
    def environment(directory: Path, text: str) -> bytes:
        build(directory, text)
        return zipfile.ZipFile(directory / "app.pyz").read("environment.json")

    assert environment(tmp_path / "one", "a = 1") != environment(tmp_path / "two", "a = 2")


def test_every_member_carries_the_time_of_the_commit(tmp_path: Path) -> None:
    build(tmp_path)
    with zipfile.ZipFile(tmp_path / "app.pyz") as archive:
        # 2023-11-14 22:13:21 UTC; zip has a grain of two seconds.
        assert {info.date_time for info in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
        assert not [name for name in archive.namelist() if name.endswith(".pyc")]
