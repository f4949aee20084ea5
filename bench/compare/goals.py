"""What has to be reached, what was, and what bounds it where it was not.

A row is a value: its goal, and two functions of a Comparison. Nothing here is typed in after a
measurement; what was tried by hand stands in tried.toml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.compare.figures import MIB, Comparison, median_of
from bench.compare.programs import STRICT

OURS, STRICTLY = "parparchik", STRICT[0].name
BUSY = 0.95
"""From this part of its processor on, a process is taken to have all of it."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A figure that helps to judge a goal, without one of its own; in the goal's unit."""

    title: str
    reached: Callable[[Comparison], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """`reached` is None where nothing was measured. `more` is better, or less is."""

    name: str
    title: str
    must: float
    aim: float
    unit: str
    more: bool
    reached: Callable[[Comparison], float | None]
    bound: Callable[[Comparison], str]
    beside: tuple[Beside, ...] = ()

    def met(self, comparison: Comparison) -> bool | None:
        value = self.reached(comparison)
        if value is None:
            return None
        return value >= self.must if self.more else value <= self.must


def best_of_the_strict(comparison: Comparison) -> str:
    """The name of the fastest peer that asks S3 for each request; '' where there is none."""
    peers = [peer.name for peer in STRICT[1:] if comparison.per_s(peer.name)]
    return max(peers, key=lambda peer: comparison.per_s(peer) or 0, default="")


def _strict_ratio(comparison: Comparison) -> float | None:
    return comparison.ratio(STRICTLY, best_of_the_strict(comparison))


def _median_p99(comparison: Comparison) -> float | None:
    return median_of([run.p99_ms for run in comparison.latency])


def _growth(comparison: Comparison) -> float | None:
    memory = comparison.memory
    return (memory.last_bytes - memory.first_bytes) / MIB if memory else None


def _by_processor(ours: str, peer: Callable[[Comparison], str]) -> Callable[[Comparison], str]:
    """What a race is bound by: whoever of the two has all of its processor."""

    def bound(comparison: Comparison) -> str:
        other = peer(comparison)
        us, them = comparison.server_us(ours), comparison.server_us(other)
        busy, load_us = comparison.server_busy(ours), comparison.load_us(ours)
        if us is None or them is None or busy is None or load_us is None:
            return "One of the two was not measured."
        need = f"It takes {us:.1f} µs of processor time for a request, the peer {them:.1f} µs."
        if busy >= BUSY:
            return f"Our server has all of its processor ({busy:.0%}). {need}"
        return (
            f"Our server has {busy:.0%} of its processor only: load and S3 on the other side, "
            f"with {load_us:.1f} µs a request, or others on this machine, are the bound. {need}"
        )

    return bound


def _by_bytes(ours: str, other: str) -> Callable[[Comparison], str]:
    """As `_by_processor`, of a race about bytes."""

    def bound(comparison: Comparison) -> str:
        us, them = comparison.server_us_per_mib(ours), comparison.server_us_per_mib(other)
        busy = comparison.server_busy(ours)
        if us is None or them is None or busy is None:
            return "One of the two was not measured."
        need = f"A MiB takes {us:,.0f} µs of its processor time, and {them:,.0f} µs of the peer's."
        if busy >= BUSY:
            return f"Our server has all of its processor ({busy:.0%}). {need}"
        return f"Our server has {busy:.0%} of its processor: it waits for the load or S3. {need}"

    return bound


def workers_at_most(comparison: Comparison, kind: str = "") -> tuple[float, float, float] | None:
    """(s, l, ratio): two processors are shared by two workers and the load, so that s and l
    microseconds a request leave at most 2 s / (s + l) of the rate of one worker that is busy all
    the time. None where it is not so, or not known. `kind` as in the contestants' names."""
    one = f"workers-1{kind}"
    server_us, load_us = comparison.server_us(one), comparison.load_us(one)
    if server_us is None or load_us is None or comparison.machine.processors != 2:
        return None
    return server_us, load_us, 2 * server_us / (server_us + load_us)


def _workers(comparison: Comparison) -> str:
    found = workers_at_most(comparison)
    if found is None:
        return "Workers and load share the processors."
    server_us, load_us, most = found
    return (
        f"Two workers and the load share two processors. A request takes {server_us:.1f} µs of the "
        f"server's time and {load_us:.1f} µs of the load generator's, so that with nothing lost "
        f"{most:.2f} would be reached."
    )


def _latency(comparison: Comparison) -> str:
    late = [run for run in comparison.latency if run.requests < 0.98 * run.rate_per_s * run.seconds]
    if late:
        return "The rate was not kept: server or load generator could do no more."
    runs = ", ".join(f"{run.p99_ms:.2f} ms" for run in comparison.latency)
    return f"p99 of the single runs: {runs}."


def _probes(comparison: Comparison) -> str:
    probes = comparison.probes
    if probes is None:
        return ""
    return (
        f"A HEAD takes {probes.cpu_us:.1f} µs of our processor time, which allows "
        f"{1e6 / probes.cpu_us:,.0f} a second; the rest is waiting for the S3 stand-in."
    )


def _churn(comparison: Comparison) -> str:
    churn = comparison.churn
    return f"The longest redirect took {churn.max_ms:.1f} ms." if churn else ""


GOALS = (
    Goal(
        "hot-nginx",
        "redirect-hot against nginx `return 302`",
        *(0.5, 0.65, "×", True),
        lambda c: c.ratio(OURS, "nginx"),
        _by_processor(OURS, lambda _: "nginx"),
    ),
    Goal(
        "hot-uvicorn",
        "redirect-hot against bare ASGI on uvicorn",
        *(2.3, 3.0, "×", True),
        lambda c: c.ratio(OURS, "uvicorn"),
        _by_processor(OURS, lambda _: "uvicorn"),
    ),
    Goal(
        "strict",
        "redirect-strict against the best of nginx + Lua/njs doing the same",
        *(2.0, 3.5, "×", True),
        _strict_ratio,
        _by_processor(STRICTLY, best_of_the_strict),
        (
            Beside(
                "against nginx + Lua as it is commonly written",
                lambda c: c.ratio(STRICTLY, "lua-plain"),
            ),
        ),
    ),
    Goal(
        "latency",
        "p99 of redirect-hot at half the maximum rate",
        *(1.0, 1.0, " ms", False),
        _median_p99,
        _latency,
    ),
    Goal(
        "probes",
        "HEAD probes, 64 in flight",
        *(20_000, 20_000, "/s", True),
        lambda c: c.probes.per_s if c.probes else None,
        _probes,
    ),
    Goal(
        "churn",
        "manifest-churn at a million entries: p99.9 of concurrent redirects",
        *(25.0, 25.0, " ms", False),
        lambda c: c.churn.p999_ms if c.churn else None,
        _churn,
    ),
    Goal(
        "memory",
        "memory after 10 million requests against after 100,000",
        *(5.0, 5.0, " MiB", False),
        _growth,
        lambda _: "",
    ),
    Goal(
        "workers",
        "two workers on two cores, load on the same machine",
        *(1.4, 1.4, "×", True),
        lambda c: c.ratio("workers-2", "workers-1"),
        _workers,
        (
            Beside(
                "the same with a HEAD to S3 for each request",
                lambda c: c.ratio("workers-2-strict", "workers-1-strict"),
            ),
            Beside(
                "the same over TLS, where the workers and not the load are the limit",
                lambda c: c.ratio("workers-2-tls", "workers-1-tls"),
            ),
        ),
    ),
    Goal(
        "cached-small",
        "cached 1 KiB against nginx `proxy_cache`",
        *(0.5, 0.5, "×", True),
        lambda c: c.ratio("ours-small", "nginx-small"),
        _by_processor("ours-small", lambda _: "nginx-small"),
    ),
    Goal(
        "cached-large",
        "cached 1 MiB from disk against nginx `proxy_cache`: bytes a second",
        *(0.8, 0.8, "×", True),
        lambda c: c.bytes_ratio("ours-large", "nginx-large"),
        _by_bytes("ours-large", "nginx-large"),
    ),
    Goal(
        "cold",
        "cold stream against nginx: bytes a second",
        *(0.6, 0.6, "×", True),
        lambda c: c.bytes_ratio("ours-cold", "nginx-cold"),
        _by_bytes("ours-cold", "nginx-cold"),
        (
            Beside(
                "the same into the cache on disk, against nginx `proxy_cache`",
                lambda c: c.bytes_ratio("ours-kept", "nginx-kept"),
            ),
            Beside(
                "PUT stream, against nginx with `proxy_request_buffering off`",
                lambda c: c.bytes_ratio("ours-put", "nginx-put"),
            ),
        ),
    ),
    Goal(
        "dedup-put",
        "PUT of 4 KiB into the dedup store against filetracker's own server",
        *(3.0, 3.0, "×", True),
        lambda c: c.ratio("ours-dedup-put", "filetracker-put"),
        _by_processor("ours-dedup-put", lambda _: "filetracker-put"),
        (
            Beside(
                "the same of content that is there",
                lambda c: c.ratio("ours-dedup-duplicate", "filetracker-duplicate"),
            ),
        ),
    ),
    Goal(
        "dedup-get",
        "GET of 4 KiB out of the dedup store against filetracker's own server",
        *(3.0, 3.0, "×", True),
        lambda c: c.ratio("ours-dedup-get", "filetracker-get"),
        _by_processor("ours-dedup-get", lambda _: "filetracker-get"),
        (
            Beside(
                "the same with nothing kept in memory: each from S3",
                lambda c: c.ratio("ours-dedup-s3", "filetracker-get"),
            ),
            Beside(
                "a long list, against the same",
                lambda c: c.ratio("ours-dedup-list", "filetracker-list"),
            ),
        ),
    ),
)
