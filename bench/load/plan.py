"""What to fire, at whom and how: values that travel to the load processes."""

from __future__ import annotations

import ipaddress
import math
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.load.deck import Deck

MAX_DURATION_S = 3600.0
MAX_REQUESTS = 100_000_000
MAX_CONNECTIONS = 10_000
MAX_PROCESSES = 64


class BadPlan(ValueError):
    """A plan that cannot or must not be carried out; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server. `trusted` is a PEM file with the certificates to trust in place of the system's;
    `http2` speaks HTTP/2 over TLS (ALPN `h2`)."""

    host: str
    port: int
    tls: bool = False
    http2: bool = False
    trusted: Path | None = None

    def __post_init__(self) -> None:
        if self.http2 and not self.tls:
            raise BadPlan("HTTP/2 is spoken over TLS only: give an https:// target")

    @classmethod
    def of(cls, url: str, *, http2: bool = False, trusted: Path | None = None) -> Target:
        """From `http://host:port` or `https://host:port`; raises BadPlan for anything else."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise BadPlan(f"{url!r} is no target: give http://host:port or https://host:port")
        if parts.path.strip("/") or parts.query or parts.username:
            raise BadPlan(f"{url!r} has more than scheme, host and port; paths are the scenario's")
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls, http2, trusted)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.trusted)
        context.set_alpn_protocols(["h2"] if self.http2 else ["http/1.1"])
        return context


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate_per_s` set: open loop, so many requests in all, each latency counted from when the
    request was due; otherwise closed loop, each connection asking as soon as it is answered.

    Ends after `duration_s` or after `requests`, whichever is given (or comes first). `warm_up_s`
    comes before both and counts for nothing. `processors` are those the load may run on; empty:
    any. `bulk`: bodies are what it is about; they are counted as they come and go, and not kept.
    """

    target: Target
    deck: Deck
    connections: int = 32
    processes: int = 1
    rate_per_s: float | None = None
    keep_alive: bool = True
    duration_s: float | None = 10.0
    requests: int | None = None
    warm_up_s: float = 1.0
    timeout_s: float = 10.0
    processors: tuple[int, ...] = ()
    bulk: bool = False

    def __post_init__(self) -> None:
        if self.bulk and (self.rate_per_s or self.target.http2 or not self.keep_alive):
            raise BadPlan("a load of large bodies is a closed loop over kept HTTP/1.1 connections")
        if self.duration_s is None and self.requests is None:
            raise BadPlan("a load has to end: give a duration or a number of requests")
        for name, value, most in (
            ("duration", self.duration_s, MAX_DURATION_S),
            ("requests", self.requests, MAX_REQUESTS),
            ("connections", self.connections, MAX_CONNECTIONS),
            ("processes", self.processes, MAX_PROCESSES),
            ("rate", self.rate_per_s, 10_000_000),
            ("time-out", self.timeout_s, 600.0),
        ):
            if value is not None and not 0 < value <= most:
                raise BadPlan(f"{name}: {value:g} is not above 0 and at most {most:g}")
        if not 0 <= self.warm_up_s <= 600:
            raise BadPlan(f"warm-up: {self.warm_up_s:g} s is not within 0 and 600")
        if self.connections < self.processes:
            raise BadPlan("fewer connections than processes: one would have nothing to do")

    @property
    def budget(self) -> float:
        """How many requests may be begun; infinite where only time ends it."""
        due: float = math.inf
        if self.rate_per_s and self.duration_s is not None:
            due = round(self.rate_per_s * self.duration_s)
        return min(due, math.inf if self.requests is None else self.requests)

    def share(self, process: int) -> Plan:
        """What one of the processes does: its part of connections, requests and rate."""
        count = self.processes
        part = self.requests and max((self.requests + count - 1 - process) // count, 1)
        return replace(
            self,
            processes=1,
            connections=(self.connections + count - 1 - process) // count,
            requests=part,
            rate_per_s=self.rate_per_s and self.rate_per_s / count,
        )
