"""The load generator: fires requests at a server, checks every answer, counts latencies.

Idea: a plan is a value that is sent to load processes. Each of them runs one task around one epoll,
for the load has to be faster than what it measures; their outcomes are histograms, which add up.
"""

from bench.load.deck import Ask, Counting, Cycle, Deck, Expected, Family, Sent, Zipf
from bench.load.files import FILE_BYTES, FilesPut, SmallFile, version_query
from bench.load.fleet import LoadFailed, Watch, fire
from bench.load.histogram import Histogram
from bench.load.outcome import PERCENTILES, ErrorKind, Outcome
from bench.load.plan import BadPlan, Plan, Target
from bench.load.wrk import fire_wrk

__all__ = [
    "FILE_BYTES",
    "PERCENTILES",
    "Ask",
    "BadPlan",
    "Counting",
    "Cycle",
    "Deck",
    "ErrorKind",
    "Expected",
    "Family",
    "FilesPut",
    "Histogram",
    "LoadFailed",
    "Outcome",
    "Plan",
    "Sent",
    "SmallFile",
    "Target",
    "Watch",
    "Zipf",
    "fire",
    "fire_wrk",
    "version_query",
]
