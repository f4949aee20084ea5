"""Steps of an examination, taken one after the other, and what each of them finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from parparchik.cli.grants import Grant
from parparchik.errors import ConfigError, CredentialsRefused, Denied, Unavailable, UpstreamError
from parparchik.registry import BadManifest


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `passed` None: worth knowing, and no failure. `grant` is set where
    a permission is what is missing."""

    step: str
    passed: bool | None
    detail: str
    grant: Grant | None = None


class Step(NamedTuple):
    """`grant` is what is missing where S3 denies it."""

    name: str
    work: Callable[[], Awaitable[Finding]]
    grant: Grant | None = None


async def take(
    steps: Sequence[Step],
    findings: list[Finding],
    denied: Callable[[Step, Denied], Finding] = lambda step, error: Finding(
        step.name, False, str(error), step.grant
    ),
) -> None:
    """Every step, whatever was refused before, until nothing can be asked at all: then the rest
    would only fail alike. Adds to `findings`; raises nothing of S3's."""
    for step in steps:
        try:
            finding = await step.work()
        except (CredentialsRefused, Unavailable) as error:
            findings.append(Finding(step.name, False, str(error)))
            return  # whatever is asked next will fail of the same
        except Denied as error:
            finding = denied(step, error)
        except (UpstreamError, BadManifest, ConfigError) as error:
            finding = Finding(step.name, False, str(error))
        findings.append(finding)
