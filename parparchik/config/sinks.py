"""Where request metrics go: one sink for each [[sink]] table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from parparchik.config.document import Document
from parparchik.config.files import check_file
from parparchik.config.given import Given, of_table
from parparchik.config.model import SinkConfig, SinkKind, SinksConfig
from parparchik.config.section import section
from parparchik.config.table_settings import SINK_SETTINGS
from parparchik.errors import ConfigError

_OPTION = "the sink of the command line"
_SCHEMES: Mapping[SinkKind, tuple[str, ...]] = MappingProxyType(
    {
        "influx": ("tcp", "http", "https"),
        "akumuli": ("tcp",),
        "mongodb": ("mongodb", "mongodb+srv"),
    }
)


def make_sinks(
    given: Given, document: Document, options: Sequence[Mapping[str, object]]
) -> SinksConfig:
    """Those of the file, and those that the command line makes. Raises ConfigError."""
    sinks = [
        _sink(of_table(table, SINK_SETTINGS, document.label), f"{document.file}: [[sink]] {number}")
        for number, table in enumerate(document.sinks, 1)
    ]
    sinks += [
        _sink(of_table(table, SINK_SETTINGS, lambda _: _OPTION), _OPTION) for table in options
    ]
    config = section("sinks", SinksConfig(tuple(sinks)), given)
    if config.location_database is not None:
        check_file(config.location_database, given.label("sinks.location_database"))
    return config


def _sink(given: Given, label: str) -> SinkConfig:
    for name in ("kind", "url"):
        if name not in given:
            raise ConfigError(f"{label} has no {name}")
    values = {setting.attribute: setting.toml.partition(".")[2] for setting in SINK_SETTINGS}
    sink = SinkConfig(**{field: given.get(key) for field, key in values.items() if key in given})
    scheme = sink.url.partition("://")[0]
    if scheme not in _SCHEMES[sink.kind]:
        schemes = " or ".join(f"{one}://" for one in _SCHEMES[sink.kind])
        raise ConfigError(f"{given.label('url')}: expected {schemes} for kind {sink.kind}")
    if scheme == "tcp" and urlsplit(sink.url).port is None:
        raise ConfigError(f"{given.label('url')}: expected a port, as in tcp://host:8089")
    if sink.token and not scheme.startswith("http"):
        raise ConfigError(f"{given.label('token')}: only HTTP has a place for one")
    return sink
