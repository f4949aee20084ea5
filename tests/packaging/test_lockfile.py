"""The lock files: their format, and the ones that are committed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyz.failure import BuildFailed
from pyz.lockfile import Pin, parse, render
from pyz.metadata import project_requirements
from pyz.targets import TARGETS

REPOSITORY = Path(__file__).parents[2]
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
PINS = st.builds(
    Pin,
    st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True),
    st.from_regex(r"[0-9]+(\.[0-9]+){0,3}((a|b|rc|\.post|\.dev)[0-9]+)?", fullmatch=True),
    st.lists(DIGESTS, min_size=1, max_size=16, unique=True).map(lambda found: tuple(sorted(found))),
)


@given(st.lists(PINS, unique_by=lambda pin: pin.name))
def test_what_is_written_is_read_back(pins: list[Pin]) -> None:
    assert parse(render(pins)) == sorted(pins, key=lambda pin: pin.name)


@pytest.mark.parametrize(
    "line",
    [
        "httpx==0.28.1",
        "httpx>=0.28 --hash=sha256:" + 64 * "0",
        "httpx==0.28.1 --hash=md5:" + 32 * "0",
        "--index-url somewhere",
        "./httpx-0.28.1-py3-none-any.whl --hash=sha256:" + 64 * "0",
    ],
)
def test_what_pins_nothing_is_refused(line: str) -> None:
    with pytest.raises(BuildFailed, match="no pin"):
        parse(line)


@pytest.mark.parametrize(("name", "extra"), [("requirements.lock", None), ("build.lock", "build")])
def test_the_committed_lock_is_within_the_ranges_of_pyproject(name: str, extra: str | None) -> None:
    pins = {pin.name: pin for pin in parse((REPOSITORY / "packaging" / name).read_text())}
    for line in project_requirements(REPOSITORY / "pyproject.toml", extra):
        requirement = Requirement(line)
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{line}: make lock"
        assert requirement.specifier.contains(pin.version), f"{line}: make lock"


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_the_committed_lock_names_no_place_to_fetch_from(name: str) -> None:
    text = (REPOSITORY / "packaging" / name).read_text()
    assert not [word for word in ("://", "--index", "--find-links", " @ ", "/") if word in text]


def test_packages_with_extension_modules_are_locked_for_every_glibc_target() -> None:
    pins = parse((REPOSITORY / "packaging" / "requirements.lock").read_text())
    native = {pin.name: len(pin.hashes) for pin in pins if pin.native}
    assert {"httptools", "markupsafe", "msgspec"} <= native.keys()
    assert min(native.values()) >= sum(target.required for target in TARGETS)
