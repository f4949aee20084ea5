"""Which packages an interpreter needs, computed for interpreters that are not here."""

from __future__ import annotations

from pyz.metadata import Package, reached, unmet
from pyz.targets import TARGETS


def package(name: str, *requires: str, version: str = "1.0") -> Package:
    return Package.of(name, version, requires)


def test_what_only_the_oldest_python_needs_is_needed() -> None:
    packages = [package("app", 'backport>=2; python_version < "3.12"')]
    assert unmet(["app"], packages) == ["backport>=2"]
    assert unmet(["app"], packages, [t for t in TARGETS if t.python != "3.11"]) == []


def test_what_only_the_newest_python_needs_is_needed() -> None:
    packages = [package("app", 'shim; python_version >= "3.14"')]
    assert unmet(["app"], packages) == ["shim"]
    assert unmet(["app"], [*packages, package("shim")]) == []


def test_what_only_one_machine_needs_is_needed() -> None:
    assert unmet(["app"], [package("app", 'neon; platform_machine == "aarch64"')]) == ["neon"]


def test_what_no_target_needs_is_not_needed() -> None:
    packages = [
        package(
            "app",
            'exceptiongroup; python_version < "3.11"',
            'cffi; os_name == "nt"',
            'colorama; sys_platform == "win32"',
            'greenlet; implementation_name == "pypy"',
            'pytest; extra == "test"',
        )
    ]
    assert unmet(["app"], packages) == []


def test_extras_bring_their_requirements() -> None:
    packages = [
        package("app", "server[trio]>=1"),
        package("server", 'trio; extra == "trio"', 'uvloop; extra == "uvloop"'),
    ]
    assert unmet(["app"], packages) == ["trio"]


def test_a_version_outside_the_range_does_not_meet_it() -> None:
    packages = [package("app", "library<2"), package("library", version="2.1")]
    assert unmet(["app"], packages) == ["library<2"]


def test_names_are_compared_in_their_normal_form() -> None:
    packages = [package("Quart_Trio", "MarkupSafe"), package("markupsafe")]
    assert unmet(["quart.trio"], packages) == []
    assert reached(["quart.trio"], packages) == {"quart-trio", "markupsafe"}


def test_circles_end() -> None:
    packages = [package("one", "two"), package("two", "one")]
    assert reached(["one"], packages) == {"one", "two"}


def test_what_is_not_reached_is_not_counted() -> None:
    packages = [package("app", "used"), package("used"), package("pytest")]
    assert reached(["app"], packages) == {"app", "used"}
