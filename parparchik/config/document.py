"""The TOML file, as far as its shape goes: tables and keys that the table of settings knows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from parparchik.config.settings import BUCKET_SETTINGS, SETTINGS
from parparchik.config.suggest import did_you_mean, near_miss
from parparchik.errors import ConfigError

_HEADS: Mapping[str, str] = MappingProxyType(
    {name: f"[{name}]" for name in ("server", "s3", "routes", "auth", "log")}
    | {"bucket": "[[bucket]]"}
)
_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        table: tuple(
            setting.toml.partition(".")[2]
            for setting in (*SETTINGS, *BUCKET_SETTINGS)
            if setting.toml.startswith(f"{table}.")
        )
        for table in _HEADS
    }
)


@dataclass(frozen=True, slots=True)
class Document:
    """`values` maps `table.key` to TOML's value, `buckets` holds the same for each [[bucket]].

    Nothing in it is parsed beyond TOML's own types; every name in it is a known one.
    """

    file: str = ""
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    buckets: tuple[Mapping[str, object], ...] = field(default=(), repr=False)

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
    buckets: list[Mapping[str, object]] = []
    for name, content in tables.items():
        if name not in _KEYS:
            raise ConfigError(f"{file}: unknown {_kind(name, content)}{_meant(name, content)}")
        array = content if isinstance(content, list) else [content]
        if isinstance(content, list) != (name == "bucket") or not all(
            isinstance(one, dict) for one in array
        ):
            once = ", once for each bucket" if name == "bucket" else ""
            raise ConfigError(f"{file}: {name} is a table: write {_HEADS[name]}{once}")
        for table in array:
            _refuse_unknown(file, name, table)
            if name == "bucket":
                buckets.append(table)
            else:
                values |= {f"{name}.{key}": value for key, value in table.items()}
    return Document(file, values, tuple(buckets))


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
