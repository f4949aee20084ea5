"""What happens in this process, as numbers.

Counting is free of Prometheus and costs nearly nothing; the rooms' counters are turned into
samples only when somebody scrapes.
"""

from parparchik.metrics.collector import Sources
from parparchik.metrics.exposition import Exposition
from parparchik.metrics.histogram import Histogram, HistogramSnapshot
from parparchik.metrics.traffic import Counter, Traffic

__all__ = [
    "Counter",
    "Exposition",
    "Histogram",
    "HistogramSnapshot",
    "Sources",
    "Traffic",
]
