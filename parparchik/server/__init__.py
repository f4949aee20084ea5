"""The process: everything put together, listening, supervised, and ended in order.

`wire` is the only place that builds the concrete rooms, `hypercorn` the only one that knows which
HTTP server there is.
"""

from parparchik.server.dedup_rooms import DedupParts
from parparchik.server.dedup_tools import open_dedup
from parparchik.server.exposure import exposed_buckets, writable_buckets
from parparchik.server.log import configure_logging, configured_secrets
from parparchik.server.serve import serve
from parparchik.server.signals import StoppedAtOnce
from parparchik.server.tls import Certificate
from parparchik.server.wire import build_s3, open_stores

__all__ = [
    "Certificate",
    "DedupParts",
    "StoppedAtOnce",
    "build_s3",
    "configure_logging",
    "configured_secrets",
    "exposed_buckets",
    "open_dedup",
    "open_stores",
    "serve",
    "writable_buckets",
]
