"""The rows of [cache] and [objects]: where bytes are kept, and the object gateway."""

from __future__ import annotations

from parparchik.config import peers, places, values
from parparchik.config.setting import Setting
from parparchik.config.sizes import GIB, KIB, MIB, PIB, TIB, byte_size
from parparchik.config.values import integer, seconds

_MEMORY = (MIB, TIB)

# fmt: off
BYTE_SETTINGS: tuple[Setting, ...] = (
    Setting("cache.memory", "PARPARCHIK_CACHE_MEMORY", byte_size(*_MEMORY), unit="bytes",
            also="MAX_CACHE_SIZE", parse_also=byte_size(*_MEMORY, plain=MIB),
            doc="Objects in memory at most: `300MiB`, `2GB`, bytes (`MAX_CACHE_SIZE`: MiB)"),
    Setting("cache.memory_object", "PARPARCHIK_CACHE_MEMORY_OBJECT", byte_size(0, GIB),
            unit="bytes", doc="Larger pieces are kept on disk alone, where there is one"),
    Setting("cache.directory", "PARPARCHIK_CACHE_DIR", values.path,
            "Directory of the cache on disk; not set: in memory alone"),
    Setting("cache.disk", "PARPARCHIK_CACHE_DISK", byte_size(MIB, PIB), unit="bytes",
            doc="Objects on disk at most"),
    Setting("cache.slice", "PARPARCHIK_CACHE_SLICE", byte_size(64 * KIB, GIB, multiple=4 * KIB),
            unit="bytes", doc="Ranges of larger objects are fetched and kept in pieces of this"
            " size"),
    Setting("cache.max_object", "PARPARCHIK_CACHE_MAX_OBJECT", byte_size(0, PIB), unit="bytes",
            doc="Larger objects asked for as a whole pass through; ranges of them do not"),
    Setting("cache.max_fills", "PARPARCHIK_CACHE_MAX_FILLS", integer(1, 65_535),
            "Requests to S3 that fill the cache, at a time"),
    Setting("cache.ttl", "PARPARCHIK_CACHE_TTL", seconds(), unit="s",
            doc="How long an object is fresh where S3 does not say"),
    Setting("cache.respect_cache_control", "PARPARCHIK_CACHE_RESPECT_CACHE_CONTROL",
            values.boolean, "What an object's `Cache-Control` says comes before the TTL"),
    Setting("cache.stale_while_revalidate", "PARPARCHIK_CACHE_STALE_WHILE_REVALIDATE", seconds(),
            unit="s", doc="How long after that it is answered with while S3 is asked again"),
    Setting("cache.stale_if_error", "PARPARCHIK_CACHE_STALE_IF_ERROR", seconds(), unit="s",
            doc="How long after that it is answered with while S3 fails"),
    Setting("cache.negative_ttl", "PARPARCHIK_CACHE_NEGATIVE_TTL", seconds(), unit="s",
            doc="How long a missing object is remembered as such"),
    Setting("cache.negative_max", "PARPARCHIK_CACHE_NEGATIVE_MAX", integer(0),
            "How many missing objects are remembered"),
    Setting("cache.compress", "PARPARCHIK_CACHE_COMPRESS", values.boolean,
            "Texts are compressed for those who accept it, once, and kept so"),
    Setting("cache.compress_min", "PARPARCHIK_CACHE_COMPRESS_MIN", byte_size(0, GIB),
            unit="bytes", doc="Smaller objects are not compressed"),
    Setting("cache.compress_max", "PARPARCHIK_CACHE_COMPRESS_MAX", byte_size(0, GIB),
            unit="bytes", doc="Larger objects are not compressed"),
    Setting("cache.peers", "PARPARCHIK_CACHE_PEERS", peers.urls,
            "URLs of the other hosts whose caches are told of every write and purge, separated by"
            " commas; the host itself may be among them"),
    Setting("cache.peer_key", "PARPARCHIK_CACHE_PEER_KEY", values.visible, secret=True,
            doc="Key that lets hosts tell each other so, the same on all; not set: the first of"
            " `PARPARCHIK_API_KEYS`"),
    Setting("cache.peer_wait", "PARPARCHIK_CACHE_PEER_WAIT", peers.wait, unit="s",
            doc="How long a write waits for the peers that answer to have forgotten; 0: not at"
            " all"),
    Setting("cache.peer_timeout", "PARPARCHIK_CACHE_PEER_TIMEOUT", seconds(above=0), unit="s",
            doc="Time for a peer to answer; one that does not is asked again, ever later"),
    Setting("cache.peer_queue", "PARPARCHIK_CACHE_PEER_QUEUE", integer(1, 1_000_000),
            "Changes that may wait for a peer; beyond it, it forgets whole buckets"),
    Setting("", "PARPARCHIK_OBJECTS", values.boolean,
            "The object gateway; on where `[objects]` or its buckets are set, else off"),
    Setting("objects.mount", "PARPARCHIK_OBJECTS_MOUNT", places.own_mount,
            "The path below which it is"),
    Setting("objects.allowed_buckets", "PARPARCHIK_OBJECTS_ALLOWED_BUCKETS",
            places.bucket_permissions, also="ALLOWED_BUCKETS",
            doc="What may be done in which bucket, `read`, `write` or `all`; not set:"
            " `public:read,private:all,local:all`"),
    Setting("objects.max_uploads", "PARPARCHIK_OBJECTS_MAX_UPLOADS", integer(1, 65_535),
            "Uploads at a time; beyond it 503"),
    Setting("objects.max_upload", "PARPARCHIK_OBJECTS_MAX_UPLOAD", byte_size(0, 312 * GIB),
            unit="bytes", doc="Larger uploads are 413. S3 takes 10,000 parts, and what is held of"
            " an upload is 32 MiB: so 312 GiB at most, 156 GiB without a `Content-Length`"),
    Setting("objects.upload_timeout", "PARPARCHIK_OBJECTS_UPLOAD_TIMEOUT", seconds(above=0),
            unit="s", doc="A client that sends nothing of its upload for this long is given up"),
    Setting("objects.compress_min", "PARPARCHIK_OBJECTS_COMPRESS_MIN", byte_size(0, GIB),
            unit="bytes", doc="Smaller objects are not compressed here"),
)
# fmt: on
