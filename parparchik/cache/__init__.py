"""Objects' bytes, kept: in memory, on disk, and as they come from S3.

An object is cut into pieces of some megabytes. What S3 sends is read once, by a *fill* in the
cache's own nursery, for all who want it, and each of them reads the pieces at a pace of its own:
who leaves takes nobody else's answer away. What is true of an object at one time is a *generation*;
its bytes are never mixed with those of another, and after a write nothing older is given out.
"""

from parparchik.cache.disk import (
    DiskParts,
    DiskStatistics,
    DiskStore,
    check_directory,
    discard_directory,
    part_of,
)
from parparchik.cache.forgetting import Forgot
from parparchik.cache.service import ObjectCache
from parparchik.cache.statistics import CacheStatistics
from parparchik.cache.tiers import Disk, OpenPiece, PieceName, Record
from parparchik.cache.types import Absent, Cache, Coding, Found, Policy, Status, Wanted

__all__ = [
    "Absent",
    "Cache",
    "CacheStatistics",
    "Coding",
    "Disk",
    "DiskParts",
    "DiskStatistics",
    "DiskStore",
    "Forgot",
    "Found",
    "ObjectCache",
    "OpenPiece",
    "PieceName",
    "Policy",
    "Record",
    "Status",
    "Wanted",
    "check_directory",
    "discard_directory",
    "part_of",
]
