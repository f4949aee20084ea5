"""The settings, validated and frozen. Where they come from is `load`'s concern."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from parparchik.model import Bucket

VerifyMode = Literal["ttl", "always", "never"]
AddressingStyle = Literal["auto", "path", "virtual"]
LogFormat = Literal["auto", "json", "console"]
TLSVersion = Literal["1.2", "1.3"]


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Long-lived credentials written into the settings; the secret parts never print."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one bucket is reached. `url` has no trailing slash; None means AWS of the region.

    `external_url` is what clients are sent to; None means the same as `url`.
    """

    region: str = "us-east-1"
    url: str | None = None
    external_url: str | None = None
    addressing: AddressingStyle = "auto"
    keys: StaticKeys | None = None
    profile: str | None = None


BucketMode = Literal["redirect", "proxy", "off"]


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """`mode` says what a route answers: where the file is, the file itself, or nothing: then the
    bucket is known only for the sake of a site or the object gateway."""

    bucket: Bucket
    endpoint: Endpoint
    mode: BucketMode = "redirect"


@dataclass(frozen=True, slots=True)
class S3Config:
    """How S3 is spoken to, whichever the bucket."""

    connect_timeout_s: float = 3.0
    read_timeout_s: float = 10.0
    total_timeout_s: float = 60.0
    probe_timeout_s: float = 5.0  # an existence probe, its retries included
    retries: int = 3
    max_connections: int = 128  # to one endpoint
    idle_timeout_s: float = 15.0
    ca_bundle: Path | None = None
    denied_is_missing: bool = False


@dataclass(frozen=True, slots=True)
class RoutesConfig:
    verify: VerifyMode = "ttl"
    verify_ttl_s: float = 2.0
    negative_ttl_s: float = 5.0
    negative_max: int = 50_000
    stale_if_error_s: float = 86_400.0
    presign_expires_s: int = 3600
    prepared_max: int = 50_000
    strict: bool = False
    list_sync: bool = False
    verified_header: bool = True
    manifest_window_s: float = 1.0
    max_probes: int = 64  # HEADs in flight for requests and, apart from these, for reconciliation
    max_waiting: int = 4096  # requests that may wait for a HEAD; beyond it 503


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """`api_keys` empty: nobody is asked for one."""

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    metrics_need_key: bool = False


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What each client may ask for. `requests_per_second` 0: as much as it likes. `burst`: how many
    requests at once, after a pause; 0: those of a second, at least one."""

    requests_per_second: float = 0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class LogConfig:
    """`directory` None: to standard error. Otherwise to a file a day in it, and with `console` to
    standard error too; those older than `keep_days` are removed, and the oldest as long as all
    together have more than `keep_bytes`. `trace`: S3 is told of the traces that requests are part
    of."""

    format: LogFormat = "auto"
    level: str = "info"
    access: bool = True
    directory: Path | None = None
    console: bool = False
    keep_days: int = 30
    keep_bytes: int = 1 << 30
    trace: bool = False


SinkKind = Literal["influx", "akumuli", "mongodb"]


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """Where a figure of every request goes. `url`: `tcp://host:port` (influx, akumuli), `http://`
    or `https://` with path and query as the server wants them for line protocol (influx), or a
    MongoDB connection string. `name` is what the figures are called there: the measurement, the
    prefix of the series, the collection; `database` is MongoDB's. `token` is sent with HTTP as
    `Authorization: Token`."""

    kind: SinkKind
    url: str = field(repr=False)  # may hold a password
    name: str = "request"
    database: str = "metrics"
    token: str = field(default="", repr=False)
    queue_max: int = 20_000  # requests; what is more while the sink is slow is dropped and counted
    batch_max: int = 1000
    flush_s: float = 1.0
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class SinksConfig:
    """`location_database` is a MaxMind file (GeoLite2 or GeoIP2 City), None: no location.
    `trusted_proxies` (addresses or networks in CIDR notation) are those whose X-Forwarded-For
    is believed."""

    sinks: tuple[SinkConfig, ...] = ()
    location_database: Path | None = None
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerConfig:
    host: str = "0.0.0.0"  # noqa: S104  the contract's default; a private bucket on it is warned of
    port: int = 8080
    shutdown_delay_s: float = 0.0
    shutdown_grace_s: float = 30.0
    workers: int = 1  # 0: as many as there are processors
    max_connections: int = 10_000
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0  # longer than the 60 s of common load balancers: see `hypercorn`
    write_timeout_s: float = 60.0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_min_version: TLSVersion = "1.2"
    tls_port: int | None = None
    h2c: bool = False


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """How much of the objects' bytes is kept, where, and for how long. `directory` None: in memory
    alone. `peers` are the URLs of other hosts that are told what was changed, `peer_key` opens
    that, and nothing else, here and there."""

    memory_bytes: int = 300 << 20
    memory_object_bytes: int = 1 << 20  # larger pieces stay on disk alone, where there is one
    directory: Path | None = None
    disk_bytes: int = 10 << 30
    slice_bytes: int = 8 << 20
    max_object_bytes: int = 1 << 30  # whole GETs of larger objects pass through; ranges do not
    max_fills: int = 64  # requests to S3 that fill, at a time
    ttl_s: float = 300.0
    respect_cache_control: bool = True
    stale_while_revalidate_s: float = 30.0
    stale_if_error_s: float = 86_400.0
    negative_ttl_s: float = 5.0
    negative_max: int = 50_000
    compress: bool = True
    compress_min_bytes: int = 1024
    compress_max_bytes: int = 16 << 20
    peers: tuple[str, ...] = ()
    peer_key: str = field(default="", repr=False)
    peer_wait_s: float = 1.0  # of a write, for the peers to have forgotten; 0: it does not wait
    peer_timeout_s: float = 5.0  # of one request to a peer
    peer_queue: int = 10_000  # changes that wait for one peer; beyond it whole buckets do


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """A bucket, or what lies below `prefix` in it, as a website at `mount` (a path that begins
    and ends with a slash) of `host` ('': any).

    `error` and `spa` are keys below `prefix` ('': none). What is None is as the cache has it.
    """

    bucket: str
    mount: str = "/"
    host: str = ""
    prefix: str = ""
    index: str = "index.html"
    error: str = ""
    spa: str = ""
    clean_urls: bool = False
    listing: bool = False
    listings_per_second: float = 20  # asked of S3; 0: any number
    precompressed: bool = False
    reject_query_strings: bool = False
    needs_key: bool = False  # one of the API keys
    cors: tuple[str, ...] = ()  # origins, or `*`
    auth_key: str = field(default="", repr=False)  # for clearing its cache
    ttl_s: float | None = None
    negative_ttl_s: float | None = None
    respect_cache_control: bool | None = None
    compress: bool = True


Permission = Literal["read", "write", "all"]


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """The object gateway at `mount` (a path that begins and ends with a slash). `allowed_buckets`:
    what anybody may do in each; other buckets are nobody's."""

    allowed_buckets: tuple[tuple[str, Permission], ...]
    mount: str = "/objects/"
    max_uploads: int = 64
    max_upload_bytes: int = 300 << 30  # in 10,000 parts, each of which fits in memory
    upload_timeout_s: float = 60.0  # without a byte from the client
    compress_min_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class DedupConfig:
    """The dedup store at `mount` (a path that begins and ends with a slash), with its blobs below
    `prefix` in `bucket`. `metadata` is `sqlite:///relative`, `sqlite:////absolute` or a Redis URL;
    `upstream` is the filetracker server whose files are taken over, '': none."""

    bucket: str
    metadata: str = field(repr=False)  # may hold a password
    mount: str = "/ft/"
    prefix: str = ""
    key_depth: int = 2
    compression_level: int = 6
    memory_bytes: int = 32 << 20
    spool_directory: Path | None = None
    spool_bytes: int = 8 << 30
    max_upload_bytes: int = 8 << 30
    max_uploads: int = 256
    grace_s: float = 86_400.0
    clean_every_s: float = 3600.0  # 0: never
    upstream: str = field(default="", repr=False)  # may hold a password
    read_needs_key: bool = True  # one of the API keys, where there are any
    write_needs_key: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """Everything. `buckets` is in priority order; it is empty only where there is a site, the
    gateway or the dedup store. Each bucket that these name is in `buckets`, or, with `mode` off,
    in `other_buckets`."""

    buckets: tuple[BucketConfig, ...]
    server: ServerConfig = field(default_factory=ServerConfig)
    s3: S3Config = field(default_factory=S3Config)
    routes: RoutesConfig = field(default_factory=RoutesConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    sinks: SinksConfig = field(default_factory=SinksConfig)
    sites: tuple[SiteConfig, ...] = ()
    objects: ObjectsConfig | None = None
    dedup: DedupConfig | None = None
    other_buckets: tuple[BucketConfig, ...] = ()

    @property
    def every_bucket(self) -> tuple[BucketConfig, ...]:
        """Those with routes, then the others; there is at least one, and no name stands twice."""
        return self.buckets + self.other_buckets

    @property
    def region(self) -> str:
        """Of the first bucket: what there is to say where no bucket is meant."""
        return self.every_bucket[0].endpoint.region
