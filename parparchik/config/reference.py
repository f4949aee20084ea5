"""The configuration table as people read it, made from the table of settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from parparchik.config.model import (
    AuthConfig,
    Endpoint,
    LogConfig,
    RoutesConfig,
    S3Config,
    ServerConfig,
)
from parparchik.config.settings import BUCKET_SETTINGS, SETTINGS, Setting
from parparchik.model import Bucket

_SECTIONS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "server": (ServerConfig,),
        "s3": (S3Config, Endpoint),
        "routes": (RoutesConfig, Bucket),
        "auth": (AuthConfig,),
        "log": (LogConfig,),
    }
)


def default_of(setting: Setting) -> object:
    """The model's default, or None where a setting has none."""
    for section in _SECTIONS.get(setting.toml.partition(".")[0], ()):
        for one in dataclasses.fields(section):
            if one.name == setting.attribute and one.default is not dataclasses.MISSING:
                return one.default or None if isinstance(one.default, tuple) else one.default
    return None


def setting_rows() -> list[tuple[str, str, str, str]]:
    """Variable, TOML key, default and meaning of every setting; '' where there is none."""
    return [
        (
            " or ".join(name for name in (setting.environ, setting.also) if name),
            _toml(setting),
            _default(setting),
            setting.doc,
        )
        for setting in SETTINGS
    ]


def settings_markdown() -> str:
    """Two tables for the README: all settings, then the keys of a [[bucket]] table."""
    rows = [("Environment", "TOML", "Default", "Meaning"), ("---",) * 4]
    for names, toml, default, doc in setting_rows():
        rows.append((_code(names).replace(" or ", "` or `"), _code(toml), _code(default), doc))
    keys = [("In `[[bucket]]`", "Meaning"), ("---",) * 2]
    keys += [(_code(setting.toml.partition(".")[2]), setting.doc) for setting in BUCKET_SETTINGS]
    return f"{_table(rows)}\n\n{_table(keys)}\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _toml(setting: Setting) -> str:
    table, _, key = setting.toml.partition(".")
    return f"[{table}] {key}" if table else ""


def _default(setting: Setting) -> str:
    default = default_of(setting)
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, (int, float)) and setting.unit == "s":
        return _duration(default)
    return str(default)


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
