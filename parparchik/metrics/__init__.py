"""What happens in this process, as numbers.

Counting is free of Prometheus and costs nearly nothing; the rooms' counters are turned into
samples only when somebody scrapes.
"""

from parparchik.metrics.collector import ConnectionStatistics, Sources
from parparchik.metrics.exposition import Exposition
from parparchik.metrics.family import Family, Sum
from parparchik.metrics.group import GroupExposition, Members
from parparchik.metrics.histogram import Histogram, HistogramSnapshot
from parparchik.metrics.traffic import Counter, Traffic

__all__ = [
    "ConnectionStatistics",
    "Counter",
    "Exposition",
    "Family",
    "GroupExposition",
    "Histogram",
    "HistogramSnapshot",
    "Members",
    "Sources",
    "Sum",
    "Traffic",
]
