"""The unit file: what systemd says of it, and that its numbers fit ours."""

from __future__ import annotations

import re
from collections import defaultdict

from pyz.build import PROJECT

from parparchik.config.load import load
from parparchik.config.settings import SETTINGS
from tests.packaging.programs import PACKAGING, find, run

UNIT = PACKAGING / "systemd" / f"{PROJECT}.service"
EXAMPLE = PACKAGING / "systemd" / f"{PROJECT}.env"


def service() -> dict[str, list[str]]:
    """The directives of [Service], each with all its values in order."""
    section = UNIT.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    found = defaultdict(list)
    for line in section.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def environment() -> dict[str, str]:
    return dict(value.split("=", 1) for value in service()["Environment"])


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_systemd_finds_nothing_wrong() -> None:
    assert run(find("systemd-analyze", required_by=""), "verify", UNIT) == ""


def test_systemd_finds_little_exposed() -> None:
    report = run(
        find("systemd-analyze", required_by=""),
        *("security", "--offline=true", "--no-pager", "--threshold=15"),  # tenths; 100 is no guard
        UNIT,
    )
    assert "Overall exposure level" in report


def test_the_archive_unpacks_where_systemd_makes_a_directory() -> None:
    assert service()["CacheDirectory"] == [PROJECT]
    assert environment()["SHIV_ROOT"] == f"%C/{PROJECT}"
    assert service()["ProtectSystem"] == ["strict"], "nowhere else could it"


def test_systemd_waits_longer_than_a_shutdown_may_take() -> None:
    (stop_s,) = service()["TimeoutStopSec"]
    assert int(stop_s) > float(environment()["PARPARCHIK_SHUTDOWN_GRACE"])


def test_every_setting_that_it_names_exists() -> None:
    known = {name for setting in SETTINGS for name in (setting.environ, setting.also)}
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    named |= environment().keys() - {"SHIV_ROOT"}
    assert named <= known
    assert "PARPARCHIK_API_KEYS_FILE" in named


def test_the_example_starts_as_it_is() -> None:
    config = load(example()).config
    assert [(one.bucket.name, one.bucket.public) for one in config.buckets] == [
        ("pictures", True),
        ("documents", False),
    ]
