"""A file store that keeps equal contents once: filetracker's protocol on S3."""

from parparchik.dedup.cleaner import Cleaner
from parparchik.dedup.cleaning import CleanPolicy, Lister
from parparchik.dedup.compress import Bounds
from parparchik.dedup.directory import FiletrackerDirectory
from parparchik.dedup.fallthrough import FallThrough
from parparchik.dedup.faults import Fault
from parparchik.dedup.figures import DedupStatistics, Figures
from parparchik.dedup.health import StoreHealth
from parparchik.dedup.inspection import Inspected, inspect_metadata
from parparchik.dedup.keys import Keys
from parparchik.dedup.migration import Migrated, Migration
from parparchik.dedup.mount import DedupMount, Permissions
from parparchik.dedup.opening import OpenedMetadata
from parparchik.dedup.portable import BadExport, Exported, Importer, export
from parparchik.dedup.put import PutLimits
from parparchik.dedup.recent import Recent
from parparchik.dedup.reports import CleanReport, ImportReport, Progress, VerifyReport
from parparchik.dedup.spool import SpoolLimits
from parparchik.dedup.statistics import Counters, StoreStatistics
from parparchik.dedup.store import DedupStore
from parparchik.dedup.types import Totals
from parparchik.dedup.upstream import FiletrackerServer
from parparchik.dedup.verify import Verifier

__all__ = [
    "BadExport",
    "Bounds",
    "CleanPolicy",
    "CleanReport",
    "Cleaner",
    "Counters",
    "DedupMount",
    "DedupStatistics",
    "DedupStore",
    "Exported",
    "FallThrough",
    "Fault",
    "Figures",
    "FiletrackerDirectory",
    "FiletrackerServer",
    "ImportReport",
    "Importer",
    "Inspected",
    "Keys",
    "Lister",
    "Migrated",
    "Migration",
    "OpenedMetadata",
    "Permissions",
    "Progress",
    "PutLimits",
    "Recent",
    "SpoolLimits",
    "StoreHealth",
    "StoreStatistics",
    "Totals",
    "Verifier",
    "VerifyReport",
    "export",
    "inspect_metadata",
]
