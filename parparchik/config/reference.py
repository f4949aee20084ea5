"""The configuration table as people read it, made from the table of settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from parparchik.config.model import (
    AuthConfig,
    CacheConfig,
    DedupConfig,
    Endpoint,
    LimitsConfig,
    LogConfig,
    ObjectsConfig,
    RoutesConfig,
    S3Config,
    ServerConfig,
    SinkConfig,
    SinksConfig,
    SiteConfig,
)
from parparchik.config.setting import Setting
from parparchik.config.settings import SETTINGS
from parparchik.config.sizes import size_text
from parparchik.config.table_settings import BUCKET_SETTINGS, SINK_SETTINGS, SITE_SETTINGS
from parparchik.model import Bucket

_SECTIONS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "server": (ServerConfig,),
        "s3": (S3Config, Endpoint),
        "routes": (RoutesConfig, Bucket),
        "cache": (CacheConfig,),
        "objects": (ObjectsConfig,),
        "dedup": (DedupConfig,),
        "site": (SiteConfig,),
        "sink": (SinkConfig,),
        "sinks": (SinksConfig,),
        "auth": (AuthConfig,),
        "limits": (LimitsConfig,),
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
    """Variable, TOML key, default and meaning of every setting; '' where there is none. The keys
    of [[bucket]], [[site]] and [[sink]] tables come last."""
    return _rows((*SETTINGS, *BUCKET_SETTINGS, *SITE_SETTINGS, *SINK_SETTINGS))


def _rows(settings: Iterable[Setting]) -> list[tuple[str, str, str, str]]:
    return [
        (
            " or ".join(name for name in (setting.environ, setting.also) if name),
            _toml(setting),
            _default(setting),
            setting.doc,
        )
        for setting in settings
    ]


def settings_markdown() -> str:
    """Tables for the README: all settings, then the keys of a [[bucket]], a [[site]], a [[sink]]
    table."""
    rows = [("Environment", "TOML", "Default", "Meaning"), ("---",) * 4]
    for names, toml, default, doc in _rows(SETTINGS):
        rows.append((_code(names).replace(" or ", "` or `"), _code(toml), _code(default), doc))
    keys = [("In `[[bucket]]`", "Meaning"), ("---",) * 2]
    keys += [(_code(setting.toml.partition(".")[2]), setting.doc) for setting in BUCKET_SETTINGS]
    tables = [
        _table(rows),
        _table(keys),
        _keys("site", SITE_SETTINGS),
        _keys("sink", SINK_SETTINGS),
    ]
    return "\n\n".join(tables) + "\n"


def _keys(table: str, settings: Iterable[Setting]) -> str:
    rows = [(f"In `[[{table}]]`", "Default", "Meaning"), ("---",) * 3]
    rows += [
        (_code(setting.toml.partition(".")[2]), _code(_default(setting)), setting.doc)
        for setting in settings
    ]
    return _table(rows)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _toml(setting: Setting) -> str:
    table, _, key = setting.toml.partition(".")
    head = f"[[{table}]]" if table in ("bucket", "site", "sink") else f"[{table}]"
    return f"{head} {key}" if table else ""


def _default(setting: Setting) -> str:
    default = default_of(setting)
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, (int, float)) and setting.unit == "s":
        return _duration(default)
    if isinstance(default, int) and setting.unit == "bytes":
        return size_text(default)
    return str(default)


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
