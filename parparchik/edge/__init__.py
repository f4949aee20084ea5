"""The edge plane: plain HTTP/1.1 connections, answered from memory where that is possible.

One task serves all connections as their bytes come (`reactor`); a connection is a plain object,
and a task exists only where something must be awaited. The edge answers what it understands whole:
GET and HEAD of files, and what changes files by a small body of announced length, when that has
come (`deed`, `holding`). A connection that brings anything else is handed over, with every byte
that was read and not answered, and never comes back; one that brings what no two servers may read
alike is refused (`framing`). The edge knows no S3: it asks the `Question` that it is given.
"""

from parparchik.edge.framing import Judge, Refusal, Verdict
from parparchik.edge.limits import Limits
from parparchik.edge.refusing import refuse, render_refusal
from parparchik.edge.server import Edge
from parparchik.edge.statistics import EdgeStatistics
from parparchik.edge.table import HandOver

__all__ = [
    "Edge",
    "EdgeStatistics",
    "HandOver",
    "Judge",
    "Limits",
    "Refusal",
    "Verdict",
    "refuse",
    "render_refusal",
]
