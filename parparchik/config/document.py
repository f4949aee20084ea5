"""The TOML file, as far as its shape goes: tables and keys that the table of settings knows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from parparchik.config.settings import SETTINGS
from parparchik.config.suggest import did_you_mean, near_miss
from parparchik.config.table_settings import BUCKET_SETTINGS, SINK_SETTINGS, SITE_SETTINGS
from parparchik.errors import ConfigError

_ONCE = ("server", "s3", "routes", "cache", "objects", "dedup", "auth", "limits", "log", "sinks")
_MANY = ("bucket", "site", "sink")
_HEADS: Mapping[str, str] = MappingProxyType(
    {name: f"[{name}]" for name in _ONCE} | {name: f"[[{name}]]" for name in _MANY}
)
_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        table: tuple(
            setting.toml.partition(".")[2]
            for setting in (*SETTINGS, *BUCKET_SETTINGS, *SITE_SETTINGS, *SINK_SETTINGS)
            if setting.toml.startswith(f"{table}.")
        )
        for table in _HEADS
    }
)


@dataclass(frozen=True, slots=True)
class Document:
    """`values` maps `table.key` to TOML's value; `buckets`, `sites` and `sinks` hold, for each
    [[bucket]], [[site]] and [[sink]], key and value. `tables` names those that are there, were
    they empty.

    Nothing in it is parsed beyond TOML's own types; every name in it is a known one.
    """

    file: str = ""
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    buckets: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    sites: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    sinks: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    tables: frozenset[str] = frozenset()

    def label(self, name: str) -> str:
        """How a message calls a setting of this file."""
        table, _, key = name.partition(".")
        return f"{self.file}: {_HEADS[table]} {key}"


def read_document(file: str, data: bytes) -> Document:
    """`file` is what messages call it. Raises ConfigError for what is not TOML or has an unknown
    name."""
    try:
        tables = tomllib.loads(data.decode())
    except RecursionError:
        raise ConfigError(f"{file}: nested too deeply") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    except ValueError:
        raise ConfigError(f"{file}: not TOML: a number too long") from None
    values: dict[str, object] = {}
    several: dict[str, list[Mapping[str, object]]] = {name: [] for name in _MANY}
    for name, content in tables.items():
        if name not in _KEYS:
            raise ConfigError(f"{file}: unknown {_kind(name, content)}{_meant(name, content)}")
        array = content if isinstance(content, list) else [content]
        if isinstance(content, list) != (name in _MANY) or not all(
            isinstance(one, dict) for one in array
        ):
            once = f", once for each {name}" if name in _MANY else ""
            raise ConfigError(f"{file}: {name} is a table: write {_HEADS[name]}{once}")
        for table in array:
            _refuse_unknown(file, name, table)
            if name in _MANY:
                several[name].append(table)
            else:
                values |= {f"{name}.{key}": value for key, value in table.items()}
    buckets, sites, sinks = (tuple(several[name]) for name in _MANY)
    return Document(file, values, buckets, sites, sinks, frozenset(tables))


def _kind(name: str, content: object) -> str:
    return f"table [{_shown(name)}]" if isinstance(content, (dict, list)) else f"key {_shown(name)}"


def _meant(name: str, content: object) -> str:
    """A stray key may belong to a table that knows it; a table's name may be misspelt."""
    if not isinstance(content, (dict, list)):
        return _home(name)
    meant = near_miss(name, _KEYS)
    return f"; did you mean {_HEADS[meant]}?" if meant else f"; known: {', '.join(_HEADS.values())}"


def _refuse_unknown(file: str, table: str, given: Mapping[str, object]) -> None:
    for key in given:
        if key not in _KEYS[table]:
            hint = _home(key) or did_you_mean(key, _KEYS[table])
            raise ConfigError(f"{file}: unknown key {_shown(key)} in {_HEADS[table]}{hint}")


def _home(key: str) -> str:
    """The table that does know a key, told in a message."""
    homes = [_HEADS[table] for table, keys in _KEYS.items() if key in keys]
    return f"; it belongs in {' or '.join(homes)}" if homes else ""


def _shown(name: str) -> str:
    """A name from the file on one line, and not without end."""
    return name if name.isidentifier() and len(name) <= 60 else f"{name[:60]!a}"
