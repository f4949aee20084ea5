"""The process: everything put together, listening, supervised, and ended in order.

`wire` is the only place that builds the concrete rooms, `hypercorn` the only one that knows which
HTTP server there is.
"""

from parparchik.server.dedup_rooms import DedupParts
from parparchik.server.dedup_tools import open_dedup
from parparchik.server.exposure import exposed_buckets, is_dedup_open, writable_buckets
from parparchik.server.log import configure_logging, configured_secrets
from parparchik.server.s3_rooms import S3, build_s3, open_stores
from parparchik.server.serve import serve
from parparchik.server.signals import StoppedAtOnce
from parparchik.server.tls import Certificate

__all__ = [
    "S3",
    "Certificate",
    "DedupParts",
    "StoppedAtOnce",
    "build_s3",
    "configure_logging",
    "configured_secrets",
    "exposed_buckets",
    "is_dedup_open",
    "open_dedup",
    "open_stores",
    "serve",
    "writable_buckets",
]
