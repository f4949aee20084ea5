"""The object gateway: whether there is one, and what it is."""

from __future__ import annotations

from parparchik.config.document import Document
from parparchik.config.given import Given
from parparchik.config.model import ObjectsConfig, Permission
from parparchik.config.section import section

# estrois's own, for who enables it and says nothing.
ALLOWED_BY_DEFAULT: tuple[tuple[str, Permission], ...] = (
    ("public", "read"),
    ("private", "all"),
    ("local", "all"),
)


def make_objects(given: Given, document: Document) -> tuple[ObjectsConfig | None, list[str]]:
    """The gateway, None where nobody wants one; and warnings about settings that mean nothing."""
    switch = "PARPARCHIK_OBJECTS"
    implied = "objects" in document.tables or "objects.allowed_buckets" in given
    if given.get(switch, implied):
        return section("objects", ObjectsConfig(ALLOWED_BY_DEFAULT), given), []
    why = f"{switch} turns the gateway off" if switch in given else f"{switch} is not set"
    idle = [given.label(name) for name in given if name.startswith("objects.")]
    return None, [f"{label} is ignored: {why}" for label in idle]
