"""The load generator: fires requests at a server, checks every answer, counts latencies.

Idea: a plan is a value that is sent to load processes. Each of them runs one task around one epoll,
for the load has to be faster than what it measures; their outcomes are histograms, which add up.
"""

from bench.load.deck import Ask, Counting, Cycle, Deck, Expected, Family, Zipf
from bench.load.fleet import LoadFailed, Watch, fire
from bench.load.histogram import Histogram
from bench.load.outcome import PERCENTILES, ErrorKind, Outcome
from bench.load.plan import BadPlan, Plan, Target
from bench.load.wrk import fire_wrk

__all__ = [
    "PERCENTILES",
    "Ask",
    "BadPlan",
    "Counting",
    "Cycle",
    "Deck",
    "ErrorKind",
    "Expected",
    "Family",
    "Histogram",
    "LoadFailed",
    "Outcome",
    "Plan",
    "Target",
    "Watch",
    "Zipf",
    "fire",
    "fire_wrk",
]
