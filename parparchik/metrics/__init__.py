"""What happens in this process, as numbers.

Counting is free of Prometheus and costs nearly nothing; the rooms' counters are turned into
samples only when somebody scrapes.
"""

from parparchik.metrics.bytes import ByteSources
from parparchik.metrics.collector import ConnectionStatistics, Sources
from parparchik.metrics.dedup import no_dedup
from parparchik.metrics.exposition import Exposition
from parparchik.metrics.family import Family, Sum
from parparchik.metrics.figures import CACHE_TYPE, PEERS_TYPE, STATS_TYPE
from parparchik.metrics.group import GroupExposition, Members
from parparchik.metrics.histogram import Histogram, HistogramSnapshot
from parparchik.metrics.sinks import SinkStatistics
from parparchik.metrics.traffic import Counter, Traffic

__all__ = [
    "CACHE_TYPE",
    "PEERS_TYPE",
    "STATS_TYPE",
    "ByteSources",
    "ConnectionStatistics",
    "Counter",
    "Exposition",
    "Family",
    "GroupExposition",
    "Histogram",
    "HistogramSnapshot",
    "Members",
    "SinkStatistics",
    "Sources",
    "Sum",
    "Traffic",
    "no_dedup",
]
