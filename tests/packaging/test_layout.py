"""Wheels of many ABIs in one directory, and what the builder refuses to put there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from pyz.failure import BuildFailed
from pyz.layout import Held, check_extensions, lay_out
from pyz.targets import TARGETS, Target

from tests.packaging.wheels import native_wheels, write_wheel

GNU = [target for target in TARGETS if target.libc == "gnu"]
MUSL = [target for target in TARGETS if target.libc == "musl"]


def laid_out(tmp_path: Path, wheels: Iterable[Path]) -> Held:
    (held,) = lay_out(wheels, tmp_path / "site-packages")
    return held


def test_wheels_of_all_abis_lie_side_by_side(tmp_path: Path) -> None:
    held = laid_out(tmp_path, native_wheels(tmp_path, TARGETS))
    check_extensions([held])
    assert held.targets() == list(TARGETS)
    assert (held.package.name, held.package.version) == ("speedy", "1.0")
    for target in TARGETS:
        extension = tmp_path / "site-packages" / "speedy" / f"_core{target.suffix}"
        assert extension.read_text() == str(target)


def test_what_describes_one_installation_is_left_out(tmp_path: Path) -> None:
    laid_out(tmp_path, native_wheels(tmp_path, TARGETS))
    info = tmp_path / "site-packages" / "speedy-1.0.dist-info"
    assert [path.name for path in info.iterdir()] == ["METADATA"]


def test_modes_do_not_depend_on_the_wheel(tmp_path: Path) -> None:
    laid_out(tmp_path, native_wheels(tmp_path, TARGETS))
    files = [path for path in (tmp_path / "site-packages").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}


def test_files_that_differ_between_abis_stop_the_build(tmp_path: Path) -> None:
    first, second = (
        write_wheel(tmp_path, str(t), {"speedy/build.py": f"abi = '{t}'"}) for t in GNU[:2]
    )
    with pytest.raises(BuildFailed, match=r"other bytes for build\.py"):
        laid_out(tmp_path, [first, second])


def test_files_that_differ_between_packages_stop_the_build(tmp_path: Path) -> None:
    wheels = [
        write_wheel(tmp_path, "py3-none-any", {"shared.py": name}, name) for name in ("one", "two")
    ]
    with pytest.raises(BuildFailed, match=r"other bytes for shared\.py"):
        lay_out(wheels, tmp_path / "site-packages")


@pytest.mark.parametrize("missing", GNU, ids=str)
def test_a_missing_glibc_abi_stops_the_build(tmp_path: Path, missing: Target) -> None:
    held = laid_out(tmp_path, native_wheels(tmp_path, [t for t in TARGETS if t != missing]))
    with pytest.raises(BuildFailed, match=f"speedy lacks speedy/_core{missing.suffix}"):
        check_extensions([held])


def test_a_pure_wheel_does_not_stand_in_for_a_missing_abi(tmp_path: Path) -> None:
    wheels = [*native_wheels(tmp_path, GNU[1:]), write_wheel(tmp_path, "py3-none-any", {})]
    with pytest.raises(BuildFailed, match="speedy lacks"):
        check_extensions([laid_out(tmp_path, wheels)])


def test_musl_is_not_demanded(tmp_path: Path) -> None:
    held = laid_out(tmp_path, native_wheels(tmp_path, [*GNU, MUSL[0]]))
    check_extensions([held])
    assert held.targets() == [*GNU, MUSL[0]]


def test_a_musl_abi_with_some_of_the_modules_stops_the_build(tmp_path: Path) -> None:
    wheels = native_wheels(tmp_path / "gnu", GNU, ("speedy/_a", "speedy/_b"))
    wheels += native_wheels(tmp_path / "musl", MUSL[:1], ("speedy/_a",))
    with pytest.raises(BuildFailed, match=f"lacks speedy/_b{MUSL[0].suffix}"):
        check_extensions([laid_out(tmp_path, wheels)])


@pytest.mark.parametrize("suffix", [".abi3.so", ".so", ".cpython-310-x86_64-linux-gnu.so"])
def test_an_extension_module_of_an_unknown_abi_stops_the_build(tmp_path: Path, suffix: str) -> None:
    wheel = write_wheel(tmp_path, "py3-none-any", {f"speedy/_core{suffix}": ""})
    with pytest.raises(BuildFailed, match="belongs to no known ABI"):
        check_extensions([laid_out(tmp_path, [wheel])])


def test_what_a_wheel_keeps_in_its_data_folder_is_put_in_place(tmp_path: Path) -> None:
    files = {"speedy-1.0.data/purelib/speedy/pure.py": "", "speedy-1.0.data/platlib/plat.py": ""}
    laid_out(tmp_path, [write_wheel(tmp_path, "py3-none-any", files)])
    assert (tmp_path / "site-packages" / "speedy" / "pure.py").exists()
    assert (tmp_path / "site-packages" / "plat.py").exists()


@pytest.mark.parametrize(
    "name", ["../outside.py", "/outside.py", "speedy-1.0.data/scripts/speedy", "speedy.pth"]
)
def test_what_has_no_place_in_the_archive_stops_the_build(tmp_path: Path, name: str) -> None:
    wheel = write_wheel(tmp_path, "py3-none-any", {name: "x"})
    with pytest.raises(BuildFailed, match="which"):
        laid_out(tmp_path, [wheel])
    assert not (tmp_path / "outside.py").exists()
