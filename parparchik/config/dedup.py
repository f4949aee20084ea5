"""The dedup store: whether there is one, and what it is."""

from __future__ import annotations

from collections.abc import Collection

from parparchik.config.document import Document
from parparchik.config.given import Given
from parparchik.config.model import DedupConfig
from parparchik.config.section import section
from parparchik.errors import ConfigError


def make_dedup(given: Given, document: Document, *, has_keys: bool) -> DedupConfig | None:
    """None where nobody wants one. Raises ConfigError."""
    if "dedup" not in document.tables and not any(name.startswith("dedup.") for name in given):
        return None
    for name in ("dedup.bucket", "dedup.metadata"):
        if name not in given:
            raise ConfigError(f"{given.label(name)} is not set, and the dedup store needs it")
    default = DedupConfig(given.get("dedup.bucket"), given.get("dedup.metadata"))
    for name in ("dedup.read_needs_key", "dedup.write_needs_key"):
        if name in given and given.get(name) and not has_keys:
            raise ConfigError(f"{given.label(name)} needs PARPARCHIK_API_KEYS")
    return section("dedup", default, given)


def check_dedup(dedup: DedupConfig, given: Given, shared: Collection[str]) -> None:
    """Raises ConfigError where it would take what others keep in its bucket for its own garbage.
    `shared` are the buckets that anybody else uses."""
    if dedup.bucket in shared and not dedup.prefix:
        raise ConfigError(
            f"{given.label('dedup.bucket')}: {dedup.bucket} is used for something else, too: give"
            f" the dedup store a part of it ({given.label('dedup.prefix')}), or a bucket of its own"
        )
