"""One row of the table of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_SUFFIXES: Mapping[str, str] = MappingProxyType({"": "", "s": "_s", "bytes": "_bytes"})


@dataclass(frozen=True, slots=True)
class Setting:
    """`toml` is `table.key` ('' where only the environment has it). `environ` wins over it; `also`
    is a second name, for when the first is not set, whose values `parse_also` reads where they
    mean something else. The value of a `secret` is in no message.
    """

    toml: str
    environ: str
    parse: Callable[[object], object]
    doc: str
    also: str = ""
    unit: str = ""
    secret: bool = False
    parse_also: Callable[[object], object] | None = None

    @property
    def name(self) -> str:
        return self.toml or self.environ

    @property
    def attribute(self) -> str:
        """The name in the model: the TOML key, durations and sizes with their unit."""
        key = self.toml.rpartition(".")[2]
        return f"{key}{_SUFFIXES[self.unit]}"
