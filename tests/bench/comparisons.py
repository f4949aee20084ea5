"""A comparison with made-up figures, for the tests of what is made from it."""

from __future__ import annotations

from bench.compare.figures import (
    Churn,
    Comparison,
    Entrant,
    Instructions,
    Latency,
    Machine,
    Memory,
    Probes,
    Sample,
)

MIB = 2**20


def sample(
    contestant: str,
    number: int,
    per_s: int,
    *,
    server_cpu_s: float = 10.0,
    errors: int = 0,
    body_bytes: int = 0,
) -> Sample:
    """Ten seconds of one contestant; `body_bytes` of each request."""
    return Sample(
        contestant=contestant,
        round=number,
        requests=per_s * 10,
        errors=errors,
        seconds=10.0,
        p50_us=100.0,
        p99_us=200.0,
        server_cpu_s=server_cpu_s,
        load_cpu_s=5.0,
        body_bytes=per_s * 10 * body_bytes,
    )


def entrant(name: str, group: str, title: str = "") -> Entrant:
    return Entrant(name=name, title=title or name, group=group)


EMPTY = Comparison(
    date="2026-05-05",
    commit="abc1234",
    machine=Machine(
        processor="Testor 1", processors=2, memory_bytes=2**33, system="Testian", kernel="6.1"
    ),
    versions={"python": "3.11.0"},
    seconds=600,
    turn_s=4.0,
    connections=32,
    keys=200,
    location_bytes=298,
    entrants=[],
    samples=[],
)

FULL = Comparison(
    date="2026-05-05",
    commit="abc1234",
    machine=EMPTY.machine,
    versions=EMPTY.versions,
    seconds=600,
    turn_s=4.0,
    connections=32,
    keys=200,
    location_bytes=298,
    listed_files=20_000,
    entrants=[
        entrant("nginx", "redirect", "nginx `return 302`"),
        entrant("parparchik", "redirect", "**parparchik**"),
        entrant("uvicorn", "redirect"),
        entrant("parparchik-strict", "strict", "**parparchik**"),
        entrant("lua-socket", "strict"),
        entrant("njs-subrequest", "strict"),
        entrant("workers-1", "workers"),
        entrant("workers-2", "workers"),
        entrant("ours-small", "bulk-small", "**parparchik**"),
        entrant("nginx-small", "bulk-small", "nginx `proxy_cache`"),
        entrant("ours-large", "bulk-large", "**parparchik**"),
        entrant("nginx-large", "bulk-large", "nginx `proxy_cache`"),
        entrant("ours-cold", "bulk-cold", "**parparchik**"),
        entrant("nginx-cold", "bulk-cold", "nginx, no cache"),
        entrant("ours-dedup-put", "dedup-put", "**parparchik**"),
        entrant("filetracker-put", "dedup-put", "filetracker's own server"),
        entrant("ours-dedup-get", "dedup-get", "**parparchik**"),
        entrant("filetracker-get", "dedup-get", "filetracker's own server"),
        entrant("ours-dedup-list", "dedup-list", "**parparchik**"),
    ],
    samples=[
        sample(name, number, per_s)
        for number in (1, 2, 3)
        for name, per_s in {
            "nginx": 100_000,
            "parparchik": 60_000,
            "uvicorn": 20_000,
            "parparchik-strict": 30_000,
            "lua-socket": 20_000,
            "njs-subrequest": 10_000,
            "workers-1": 60_000,
            "workers-2": 90_000,
            "ours-dedup-put": 2_000,
            "filetracker-put": 500,
            "ours-dedup-get": 12_000,
            "filetracker-get": 4_000,
            "ours-dedup-list": 1,
        }.items()
    ]
    + [
        sample(name, number, per_s, body_bytes=body_bytes)
        for number in (1, 2, 3)
        for name, per_s, body_bytes in (
            ("ours-small", 50_000, 1300),
            ("nginx-small", 80_000, 1400),
            ("ours-large", 1_700, MIB),
            ("nginx-large", 2_000, MIB),
            ("ours-cold", 90, 8 * MIB),
            ("nginx-cold", 100, 8 * MIB),
        )
    ],
    latency=[
        Latency(
            rate_per_s=30_000,
            requests=300_000,
            errors=0,
            seconds=10.0,
            p50_ms=0.1,
            p99_ms=p99_ms,
            p999_ms=2.0,
            max_ms=5.0,
        )
        for p99_ms in (0.4, 0.5, 9.0)
    ],
    probes=Probes(at_once=64, requests=1000, per_s=25_000, cpu_us=40.0, p99_ms=3.0),
    churn=Churn(
        entries=1_000_000,
        requests=1000,
        errors=0,
        p50_ms=0.2,
        p99_ms=4.0,
        p999_ms=30.0,
        max_ms=40.0,
    ),
    memory=Memory(
        first_requests=100_000,
        first_bytes=50 * MIB,
        last_requests=10_000_000,
        last_bytes=51 * MIB,
    ),
    instructions=[
        Instructions(
            name="hot", title="redirect-hot", requests=2000, per_request=41_234.5, counter="perf"
        )
    ],
)
