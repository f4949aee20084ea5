"""What one comparison measured: values, written to JSON and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec

ROUNDS_LEAST = 3
MIB = 2**20


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`congestion_control` is TCP's, '' where that is not known."""

    processor: str
    processors: int
    memory_bytes: int
    system: str
    kernel: str
    congestion_control: str = ""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of one contestant. Processor times are those of the turn: `server_cpu_s` of all
    processes of the server, `load_cpu_s` of the load generator. `body_bytes`, of races that are
    about them, came or went in bodies."""

    contestant: str
    round: int
    requests: int
    errors: int
    seconds: float
    p50_us: float
    p99_us: float
    server_cpu_s: float
    load_cpu_s: float
    body_bytes: int = 0

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def bytes_per_s(self) -> float:
        return self.body_bytes / self.seconds


class Entrant(msgspec.Struct, frozen=True, kw_only=True):
    """Who was measured: `group` says with whom it is compared, `does` what it did for a request."""

    name: str
    title: str
    group: str
    does: str = ""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """An open loop at `rate_per_s`: times count from when a request was due."""

    rate_per_s: float
    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Probes(msgspec.Struct, frozen=True, kw_only=True):
    """HEADs from one process. `cpu_us` is its processor time for one."""

    at_once: int
    requests: int
    per_s: float
    cpu_us: float
    p99_ms: float


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """Redirects while manifests of so many entries are written again and again."""

    entries: int
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident bytes of the server after so many requests, and after many more."""

    first_requests: int
    first_bytes: int
    last_requests: int
    last_bytes: int


class Instructions(msgspec.Struct, frozen=True, kw_only=True):
    """Instructions in user space for one request, counted by `counter`."""

    name: str
    title: str
    requests: int
    per_request: float
    counter: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. What could not be measured is empty, with a line in `notes` that says why."""

    date: str
    commit: str
    machine: Machine
    versions: dict[str, str]
    seconds: float
    turn_s: float
    connections: int
    keys: int
    location_bytes: int
    listed_files: int = 0
    entrants: list[Entrant]
    samples: list[Sample]
    latency: list[Latency] = []
    probes: Probes | None = None
    churn: Churn | None = None
    memory: Memory | None = None
    instructions: list[Instructions] = []
    notes: list[str] = []

    def of(self, contestant: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.contestant == contestant]

    def per_s(self, contestant: str) -> float | None:
        """The median of its turns; None where it had none."""
        return median_of([sample.per_s for sample in self.of(contestant)])

    def ratio(self, contestant: str, other: str) -> float | None:
        """The median of the ratios within each round."""
        return self._ratio(contestant, other, lambda sample: sample.per_s)

    def bytes_per_s(self, contestant: str) -> float | None:
        return median_of([sample.bytes_per_s for sample in self.of(contestant)])

    def bytes_ratio(self, contestant: str, other: str) -> float | None:
        """As `ratio`, of bytes a second."""
        return self._ratio(contestant, other, lambda sample: sample.bytes_per_s)

    def _ratio(
        self, contestant: str, other: str, figure: Callable[[Sample], float]
    ) -> float | None:
        theirs = {sample.round: figure(sample) for sample in self.of(other)}
        return median_of(
            [
                figure(sample) / theirs[sample.round]
                for sample in self.of(contestant)
                if theirs.get(sample.round)
            ]
        )

    def server_us_per_mib(self, contestant: str) -> float | None:
        """The server's processor time for a MiB of bodies."""
        return median_of(
            [s.server_cpu_s / s.body_bytes * MIB * 1e6 for s in self.of(contestant) if s.body_bytes]
        )

    def load_us_per_mib(self, contestant: str) -> float | None:
        return median_of(
            [s.load_cpu_s / s.body_bytes * MIB * 1e6 for s in self.of(contestant) if s.body_bytes]
        )

    def server_us(self, contestant: str) -> float | None:
        """The server's processor time for one request, in microseconds; in other words,
        milliseconds for 1,000."""
        return median_of(
            [s.server_cpu_s / s.requests * 1e6 for s in self.of(contestant) if s.requests]
        )

    def load_us(self, contestant: str) -> float | None:
        """The load generator's processor time for one request of this contestant."""
        return median_of(
            [s.load_cpu_s / s.requests * 1e6 for s in self.of(contestant) if s.requests]
        )

    def server_busy(self, contestant: str) -> float | None:
        """Which part of a processor the server had: 1 is all of one."""
        return median_of([s.server_cpu_s / s.seconds for s in self.of(contestant)])


def median_of(values: list[float]) -> float | None:
    return median(values) if values else None


def save(comparison: Comparison, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n")


def load(path: Path) -> Comparison:
    """Raises msgspec.ValidationError for a file of something else."""
    return msgspec.json.decode(path.read_bytes(), type=Comparison)
