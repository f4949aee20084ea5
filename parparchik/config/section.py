"""A section of the model, made from what was given for its table."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from parparchik.config.given import Given
from parparchik.config.model import (
    CacheConfig,
    DedupConfig,
    LimitsConfig,
    LogConfig,
    ObjectsConfig,
    RoutesConfig,
    S3Config,
    ServerConfig,
    SinksConfig,
)
from parparchik.config.settings import SETTINGS

_Section = TypeVar(
    "_Section",
    ServerConfig,
    S3Config,
    RoutesConfig,
    CacheConfig,
    ObjectsConfig,
    DedupConfig,
    LimitsConfig,
    LogConfig,
    SinksConfig,
)


def section(table: str, default: _Section, given: Given) -> _Section:
    """`default` with what was given in place of its own values. Settings of the table that the
    section has no attribute for are others'."""
    attributes = {f.name for f in dataclasses.fields(default)}
    changes: dict[str, Any] = {
        setting.attribute: given.get(setting.name)
        for setting in SETTINGS
        if setting.toml.startswith(f"{table}.")
        and setting.name in given
        and setting.attribute in attributes
    }
    return dataclasses.replace(default, **changes)
