"""Which packages need which: core metadata evaluated for interpreters other than the running one.

pip evaluates environment markers for the interpreter it runs on, whatever it is asked to download
for. What holds for every target is therefore computed here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pyz.targets import TARGETS, Target


@dataclass(frozen=True, slots=True)
class Package:
    """A package as its core metadata describes it; `name` is normalised (PEP 503)."""

    name: str
    version: str
    requires: tuple[Requirement, ...]

    @classmethod
    def of(cls, name: str, version: str, requires: Iterable[str]) -> Package:
        return cls(canonicalize_name(name), version, tuple(map(Requirement, requires)))

    @classmethod
    def from_text(cls, metadata: str) -> Package:
        """From a METADATA file."""
        message = HeaderParser().parsestr(metadata)
        return cls.of(message["Name"], message["Version"], message.get_all("Requires-Dist", ()))


def project_requirements(pyproject: Path, extra: str | None = None) -> Sequence[str]:
    """The project's own dependencies, or those of one extra."""
    project = tomllib.loads(pyproject.read_text())["project"]
    found: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return found


def unmet(
    requirements: Sequence[str],
    packages: Iterable[Package],
    targets: Sequence[Target] = TARGETS,
) -> Sequence[str]:
    """Which requirements, direct or of a package reached from these, no package satisfies on some
    target: sorted, each without its marker."""
    by_name = {package.name: package for package in packages}
    roots = tuple(map(Requirement, requirements))
    problems = set()
    for environment in map(_environment, targets):
        for requirement in _closure(roots, by_name, environment):
            package = by_name.get(canonicalize_name(requirement.name))
            if package is None or not requirement.specifier.contains(package.version):
                problems.add(f"{requirement.name}{requirement.specifier}")
    return sorted(problems)


def reached(
    requirements: Sequence[str],
    packages: Iterable[Package],
    targets: Sequence[Target] = TARGETS,
) -> frozenset[str]:
    """The names of all packages that some target needs."""
    by_name = {package.name: package for package in packages}
    roots = tuple(map(Requirement, requirements))
    return frozenset(
        canonicalize_name(requirement.name)
        for environment in map(_environment, targets)
        for requirement in _closure(roots, by_name, environment)
    )


def _closure(
    roots: Iterable[Requirement], by_name: Mapping[str, Package], environment: dict[str, str]
) -> Iterator[Requirement]:
    """Every requirement whose marker holds, each once, following extras (PEP 508)."""
    seen = set()
    waiting = [(root, frozenset({""})) for root in roots]
    while waiting:
        requirement, extras = waiting.pop()
        if (str(requirement), extras) in seen or not _holds(requirement, extras, environment):
            continue
        seen.add((str(requirement), extras))
        yield requirement
        package = by_name.get(canonicalize_name(requirement.name))
        if package is not None:
            wanted = frozenset({"", *requirement.extras})
            waiting.extend((needed, wanted) for needed in package.requires)


def _holds(requirement: Requirement, extras: frozenset[str], environment: dict[str, str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": e}) for e in extras)


def _environment(target: Target) -> dict[str, str]:
    """PEP 508's variables as the target would have them."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }
