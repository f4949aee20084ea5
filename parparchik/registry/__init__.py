"""Which file is in which bucket: read from manifests, held to what S3 says, written back.

`Registry` is the table, `Resolver` answers requests from it and verifies, `ManifestWriter` keeps
S3's copy, and `Service` is all of them at work. The rule above all: only an absence that S3 has
stated removes anything. The room asks S3 through `model.ObjectStore` alone.
"""

from parparchik.registry.condition import ConditionalWriter, Support
from parparchik.registry.entries import (
    Registry,
    RegistryStatistics,
    bucket_index,
    pack,
    size_and_time,
)
from parparchik.registry.manifest import BadManifest, decode
from parparchik.registry.presence import Prober
from parparchik.registry.resolution import ABSENT, Resolution
from parparchik.registry.service import Relocation, Service, ServiceStatistics
from parparchik.registry.table import Table
from parparchik.registry.verify import Resolver
from parparchik.registry.writer import ManifestFile, ManifestUnread, PersistFailed

__all__ = [
    "ABSENT",
    "BadManifest",
    "ConditionalWriter",
    "ManifestFile",
    "ManifestUnread",
    "PersistFailed",
    "Prober",
    "Registry",
    "RegistryStatistics",
    "Relocation",
    "Resolution",
    "Resolver",
    "Service",
    "ServiceStatistics",
    "Support",
    "Table",
    "bucket_index",
    "decode",
    "pack",
    "size_and_time",
]
