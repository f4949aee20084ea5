"""What a scrape says of the cache and the gateway in a few figures, for people and their scripts.

Made from the same families as the scrape itself, and so of all processes together. It is asked for
like that, by an Accept header of its own: whatever carries a scrape carries these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from parparchik.metrics.family import Family
from parparchik.metrics.http import REQUEST_SECONDS

STATS_TYPE = "application/vnd.parparchik.stats+json"
CACHE_TYPE = "application/vnd.parparchik.cache+json"
PEERS_TYPE = "application/vnd.parparchik.peers+json"

_GATEWAY = ("objects",)  # the label values of the gateway's requests


class Stats(msgspec.Struct, frozen=True):
    """Sizes are of memory and disk together. `total_requests` and `avg_response_time_ms` are of
    the object gateway, the rest is of the cache, whoever it answered. `compression_ratio` is coded
    bytes by original ones, 1 where nothing was compressed; the other ratio is 0 where there was no
    request. `last_cleanup_time` is when something last had to go to make room, in UTC as ISO 8601
    has it; null where nothing ever had to."""

    hits: int
    misses: int
    current_size_bytes: int
    max_size_bytes: int
    entry_count: int
    last_cleanup_time: str | None
    total_requests: int
    cache_hit_ratio: float
    avg_response_time_ms: float
    compression_ratio: float


def stats(families: Iterable[Family]) -> bytes:
    """As JSON."""
    known = _Values(families)
    value, values = known.value, known.values
    hits, misses = int(value("cache_hits_total")), int(value("cache_misses_total"))
    requests = value(f"{REQUEST_SECONDS}_count", _GATEWAY)
    seconds = value(f"{REQUEST_SECONDS}_sum", _GATEWAY)
    original, coded = value("cache_compressed_bytes_total"), value("cache_coded_bytes_total")
    return msgspec.json.encode(
        Stats(
            hits=hits,
            misses=misses,
            current_size_bytes=int(value("cache_bytes")),
            max_size_bytes=int(value("cache_limit_bytes")),
            entry_count=int(value("cache_entries")),
            last_cleanup_time=_time(values("cache_last_eviction_timestamp_seconds")),
            total_requests=int(requests),
            cache_hit_ratio=round(hits / (hits + misses), 4) if hits + misses else 0.0,
            avg_response_time_ms=round(seconds / requests * 1000, 3) if requests else 0.0,
            compression_ratio=round(coded / original, 4) if original else 1.0,
        )
    )


def cache_figures(families: Iterable[Family]) -> bytes:
    """Every figure of the cache by its name in a scrape, as JSON; one with a label is an object of
    its values."""
    figures: dict[str, float | dict[str, float]] = {}
    for family in families:
        name = family.name.removeprefix("parparchik_")
        if not name.startswith("cache_"):
            continue
        for sample, _, of, value in family.samples:
            if sample.endswith("_created"):
                continue
            number = int(value) if value.is_integer() else value
            if of:
                labelled = figures.setdefault(name.removeprefix("cache_"), {})
                assert isinstance(labelled, dict)  # noqa: S101  a family has the same labels
                labelled[of[0]] = number
            else:
                figures[name.removeprefix("cache_")] = number
    return msgspec.json.encode(figures)


class PeerFigures(msgspec.Struct, frozen=True):
    """Another host that is told of changes; `pending` are those that it has not confirmed."""

    url: str
    reachable: bool
    pending: int


def peers(families: Iterable[Family]) -> bytes:
    """As JSON: all of them in a list."""
    known = _Values(families)
    pending = known.by_label("cache_peer_pending")
    reachable = known.by_label("cache_peer_reachable")
    return msgspec.json.encode(
        [PeerFigures(url, bool(reachable[url]), int(count)) for url, count in pending.items()]
    )


FIGURES: dict[str, Callable[[Iterable[Family]], bytes]] = {
    STATS_TYPE: stats,
    CACHE_TYPE: cache_figures,
    PEERS_TYPE: peers,
}
"""By media type."""


def _time(each_s: Iterable[float]) -> str | None:
    """The latest of times since 1970, of which 0 is none."""
    latest_s = max(each_s, default=0.0)
    return f"{datetime.fromtimestamp(latest_s, UTC):%Y-%m-%dT%H:%M:%SZ}" if latest_s else None


class _Values:
    def __init__(self, families: Iterable[Family]) -> None:
        self._samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, of: tuple[str, ...] | None = None) -> float:
        """The sum of the samples of that name, or of those with these label values; 0 without
        any."""
        return sum(self.values(name, of))

    def values(self, name: str, of: tuple[str, ...] | None = None) -> list[float]:
        """Likewise, each by itself."""
        full = f"parparchik_{name}"
        return [
            value
            for sample, _, values, value in self._samples
            if sample == full and (of is None or values == of)
        ]

    def by_label(self, name: str) -> dict[str, float]:
        """The samples of that name, which have one label, by its value."""
        full = f"parparchik_{name}"
        return {of[0]: value for sample, _, of, value in self._samples if sample == full}
