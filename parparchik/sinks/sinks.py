"""All sinks of a process, from what the settings say."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trio

from parparchik.access import Observation, TrustedProxies
from parparchik.config.model import SinkConfig, SinksConfig
from parparchik.errors import ConfigError
from parparchik.metrics import SinkStatistics
from parparchik.sinks import akumuli, influx
from parparchik.sinks.batches import Batches, Note
from parparchik.sinks.destination import Destination
from parparchik.sinks.http import HTTPDestination
from parparchik.sinks.location import LocationDatabase
from parparchik.sinks.measurement import NOWHERE, Measurement
from parparchik.sinks.mongo import MongoDestination
from parparchik.sinks.tcp import TCPDestination

_PORTS = {"influx": 8089, "akumuli": 8282}  # as the servers have them


class Sinks:
    """`observe` is what an AccessLog is given, `run` a background task. Raises ConfigError for
    what can't be a sink, or lacks its library."""

    def __init__(self, config: SinksConfig, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._proxies = TrustedProxies(config.trusted_proxies)
        path = config.location_database
        self._locations = LocationDatabase(path) if config.sinks and path is not None else None
        self._sinks = [
            Batches(sink, _server(sink.url), _destination(sink), self.measure)
            for sink in config.sinks
        ]
        self._note = [sink.note for sink in self._sinks]

    @property
    def wanted(self) -> bool:
        return bool(self._sinks)

    def observe(self, common: Observation, seconds: float, peer: str) -> None:
        """`access.Observe`."""
        note = Note(self._now_ns(), common, seconds, peer)
        for take in self._note:
            take(note)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what is observed, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._locations is not None:
                nursery.start_soon(self._locations.run)
            for sink in self._sinks:
                nursery.start_soon(sink.run)
            task_status.started()

    def statistics(self) -> tuple[SinkStatistics, ...]:
        return tuple(sink.statistics() for sink in self._sinks)

    def measure(self, note: Note) -> Measurement:
        """Safe in any thread."""
        common = note.common
        address = self._proxies.client(note.peer, common.forwarded_for)
        location = NOWHERE if self._locations is None else self._locations.locate(address)
        return Measurement(
            timestamp_ns=note.timestamp_ns,
            method=common.method,
            resource=common.resource.partition("?")[0],
            media_type=common.media_type.partition(";")[0].strip(),
            address=address,
            size_bytes=common.size_bytes,
            time_ns=round(note.seconds * 1e9),
            status=common.status,
            compressed=common.compressed,
            location=location,
        )


def _destination(sink: SinkConfig) -> Destination[Any]:
    scheme = urlsplit(sink.url).scheme
    if sink.kind == "mongodb":
        return MongoDestination(sink.url, sink.database, sink.name, sink.timeout_s)
    if sink.kind == "influx" and scheme in ("http", "https"):
        encode = partial(influx.lines, name=sink.name)
        return HTTPDestination(sink.url, sink.token, sink.timeout_s, encode)
    if scheme == "tcp":
        encoder = influx.lines if sink.kind == "influx" else akumuli.messages
        host, port = _host_and_port(sink)
        return TCPDestination(host, port, partial(encoder, name=sink.name))
    raise ConfigError(f"a sink of kind {sink.kind} has no use for a URL that begins {scheme!r}")


def _host_and_port(sink: SinkConfig) -> tuple[str, int]:
    try:
        parts = urlsplit(sink.url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise ConfigError(f"a sink of kind {sink.kind} needs a URL like tcp://host:port")
    return host, _PORTS[sink.kind] if port is None else port


def _server(url: str) -> str:
    """For logs and metrics: without user, password and query."""
    address = urlsplit(url).netloc.rpartition("@")[2]
    return address or "?"
