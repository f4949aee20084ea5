"""How much a comparison takes upon itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often."""

    rounds: int = 3
    turn_s: float = 4.0
    latency_s: float = 6.0
    probes: int = 60_000
    memory_requests: int = 10_000_000
    memory_most_s: float = 200.0
    churn_entries: int = 1_000_000
    churn_s: float = 10.0
    instructions: int = 3_000
    bulk_turn_s: float = 2.0
    dedup_turn_s: float = 2.0
    listed_files: int = 20_000


FULL = Effort()
SHORT = Effort(
    rounds=1,
    turn_s=1.0,
    latency_s=1.0,
    probes=5_000,
    memory_requests=150_000,
    memory_most_s=10.0,
    churn_entries=20_000,
    churn_s=1.0,
    instructions=600,
    bulk_turn_s=1.0,
    dedup_turn_s=1.0,
    listed_files=2_000,
)
"""Shows that everything works; its figures mean little."""
