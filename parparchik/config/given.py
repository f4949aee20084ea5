"""What was given: each setting's parsed value, and what to call it in a message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from parparchik.config.document import Document
from parparchik.config.setting import Setting
from parparchik.config.settings import SETTINGS
from parparchik.errors import ConfigError

_VARIABLES = {setting.name: setting.environ for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Value:
    """`label` names the setting as its giver wrote it: `PARPARCHIK_PORT`, or file, table, key."""

    value: Any = field(repr=False)
    label: str
    from_environ: bool


class Given:
    """Parsed values by the settings' names; a setting that nobody gave has none.

    The values are `Any` because each has the type that its row's parser returns.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        found = self._values.get(name)
        return default if found is None else found.value

    def label(self, name: str) -> str:
        """What gave it; of a setting that nobody gave, the variable that would."""
        found = self._values.get(name)
        return _VARIABLES.get(name, name) if found is None else found.label

    def from_file(self) -> Given:
        """Without what the environment gave."""
        return Given({n: v for n, v in self._values.items() if not v.from_environ})


def gather(environ: Mapping[str, str], document: Document) -> Given:
    """Everything but the tables that there may be several of; the environment wins over the file.
    A variable that is empty counts as not set. Raises ConfigError."""
    values: dict[str, Value] = {}
    for setting in SETTINGS:
        name = next((n for n in (setting.environ, setting.also) if environ.get(n, "").strip()), "")
        if name:
            parse = setting.parse_also if name == setting.also else None
            parsed = _parse(setting, environ[name], name, parse)
            values[setting.name] = Value(parsed, name, from_environ=True)
        elif setting.toml in document.values:
            raw, label = document.values[setting.toml], document.label(setting.toml)
            values[setting.name] = Value(_parse(setting, raw, label), label, from_environ=False)
    return Given(values)


def of_table(
    table: Mapping[str, object], settings: Iterable[Setting], label: Callable[[str], str]
) -> Given:
    """The same for one [[bucket]], [[site]] or [[sink]]; names are without the table's. `label` is
    what a message calls a setting of that name, which has it."""
    values: dict[str, Value] = {}
    for setting in settings:
        key = setting.toml.partition(".")[2]
        if key in table:
            called = label(setting.toml)
            values[key] = Value(_parse(setting, table[key], called), called, from_environ=False)
    return Given(values)


def _parse(
    setting: Setting, raw: object, label: str, parse: Callable[[object], object] | None = None
) -> object:
    """`parse` in place of the setting's own. Raises ConfigError."""
    try:
        return (parse or setting.parse)(raw)
    except ValueError as error:
        # What may hold a password is not shown: secrets, and URLs with a user in them.
        shown = f"; got {_shown(raw)}" if not setting.secret and "@" not in str(raw) else ""
        raise ConfigError(f"{label}: {error}{shown}") from None


def _shown(raw: object) -> str:
    written = ascii(raw)
    return written if len(written) <= 60 else f"{written[:60]}..."
