"""The rows of [dedup]: the store that keeps equal contents once."""

from __future__ import annotations

from parparchik.config import places, stores, values
from parparchik.config.setting import Setting
from parparchik.config.sizes import MIB, PIB, TIB, byte_size
from parparchik.config.values import integer, seconds

# fmt: off
DEDUP_SETTINGS: tuple[Setting, ...] = (
    Setting("dedup.bucket", "PARPARCHIK_DEDUP_BUCKET", places.bucket_name,
            "The bucket of the dedup store; not set: there is none"),
    Setting("dedup.metadata", "PARPARCHIK_DEDUP_METADATA", stores.metadata_url, secret=True,
            doc="Where it keeps which path has which content: `sqlite:///file.db` (relative;"
            " `sqlite:////var/lib/...` is absolute), or `redis://host/0` for several hosts"),
    Setting("dedup.mount", "PARPARCHIK_DEDUP_MOUNT", places.mount,
            "The path below which it is"),
    Setting("dedup.prefix", "PARPARCHIK_DEDUP_PREFIX", places.key_prefix,
            "What its keys in the bucket begin with; nobody else may have keys there"),
    Setting("dedup.key_depth", "PARPARCHIK_DEDUP_KEY_DEPTH", integer(0, 8),
            "Folders of two digits in a key: 2 is `ab/cd/<sha256>`"),
    Setting("dedup.compression_level", "PARPARCHIK_DEDUP_COMPRESSION_LEVEL", integer(0, 9),
            "gzip's level for uploads that come without it"),
    Setting("dedup.memory", "PARPARCHIK_DEDUP_MEMORY", byte_size(0, TIB), unit="bytes",
            doc="How much each worker keeps of small files (64 KiB) read lately; 0: nothing"),
    Setting("dedup.spool_directory", "PARPARCHIK_DEDUP_SPOOL_DIR", values.path,
            "Where uploads wait while their hash is not known; not set: the system's directory"
            " for temporary files"),
    Setting("dedup.spool", "PARPARCHIK_DEDUP_SPOOL", byte_size(MIB, PIB), unit="bytes",
            doc="How much may wait there at a time; beyond it 503, and 413 for one upload alone"),
    Setting("dedup.max_upload", "PARPARCHIK_DEDUP_MAX_UPLOAD", byte_size(0, 5 * TIB),
            unit="bytes", doc="Larger files are 413, uncompressed or not"),
    Setting("dedup.max_uploads", "PARPARCHIK_DEDUP_MAX_UPLOADS", integer(1, 65_535),
            "Uploads at a time; beyond it 503"),
    Setting("dedup.grace", "PARPARCHIK_DEDUP_GRACE", seconds(), unit="s",
            doc="How long contents without a file are kept"),
    Setting("dedup.clean_every", "PARPARCHIK_DEDUP_CLEAN_EVERY", seconds(), unit="s",
            doc="How often they are collected; 0: only by `parparchik dedup clean`"),
    Setting("dedup.upstream", "PARPARCHIK_DEDUP_UPSTREAM", stores.upstream_url, secret=True,
            doc="A filetracker server whose files are fetched as they are asked for"),
    Setting("dedup.read_needs_key", "PARPARCHIK_DEDUP_READ_NEEDS_KEY", values.boolean,
            "Where there are API keys, reading wants one (the stock client: as the password in its"
            " URL)"),
    Setting("dedup.write_needs_key", "PARPARCHIK_DEDUP_WRITE_NEEDS_KEY", values.boolean,
            "Likewise writing"),
)
# fmt: on
