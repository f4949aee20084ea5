"""The table of settings: one row each, and everything else is derived from it.

What the environment and the TOML file may hold, how a value is read, what an error message calls
it, which misspelling was meant and the README's configuration table all come from these rows.
Defaults live in the model: a row finds its own by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parparchik.config import values
from parparchik.config.values import choice, integer, seconds, whole_seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """`toml` is `table.key` ('' where only the environment has it). `environ` wins over it; `also`
    is a second name, for when the first is not set. The value of a `secret` is in no message.
    """

    toml: str
    environ: str
    parse: Callable[[object], object]
    doc: str
    also: str = ""
    unit: str = ""
    secret: bool = False

    @property
    def name(self) -> str:
        return self.toml or self.environ

    @property
    def attribute(self) -> str:
        """The name in the model: the TOML key, durations with their unit."""
        key = self.toml.rpartition(".")[2]
        return f"{key}_s" if self.unit == "s" else key


# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("", "PARPARCHIK_BUCKETS", values.text,
            "Buckets in priority order, first wins: `name[:manifest-key[:public]],...`"),
    Setting("", "PARPARCHIK_PUBLIC_BUCKET", values.text,
            "Instead of `PARPARCHIK_BUCKETS`, with the next: the first bucket, public"),
    Setting("", "PARPARCHIK_PRIVATE_BUCKET", values.text,
            "The second bucket, private"),
    Setting("", "PARPARCHIK_CONFIG", values.path,
            "The TOML file, where `--config` does not name it"),
    Setting("server.host", "PARPARCHIK_HOST", values.host,
            "Address to listen on"),
    Setting("server.port", "PARPARCHIK_PORT", values.port,
            "Port to listen on; 0 takes a free one"),
    Setting("server.shutdown_delay", "PARPARCHIK_SHUTDOWN_DELAY", seconds(), unit="s",
            doc="After SIGTERM readiness is 503 at once, and all else is answered as before for"
            " this long: the time for load balancers to look away"),
    Setting("server.shutdown_grace", "PARPARCHIK_SHUTDOWN_GRACE", seconds(), unit="s",
            doc="How long requests under way may take to end at shutdown"),
    Setting("server.workers", "PARPARCHIK_WORKERS", values.workers,
            "Processes that answer requests; `auto`: one for each processor"),
    Setting("server.max_connections", "PARPARCHIK_MAX_CONNECTIONS", integer(1, 1_000_000),
            "Connections of clients at most, of plain ones and of TLS each; more wait to be taken"),
    Setting("server.header_timeout", "PARPARCHIK_HEADER_TIMEOUT", seconds(above=0), unit="s",
            doc="Time for a TLS handshake, and for a request's line and headers to arrive"),
    Setting("server.idle_timeout", "PARPARCHIK_IDLE_TIMEOUT", seconds(above=0), unit="s",
            doc="How long a connection is kept between requests; longer than the load balancer"
            " before it keeps one"),
    Setting("server.write_timeout", "PARPARCHIK_WRITE_TIMEOUT", seconds(above=0), unit="s",
            doc="A client that takes nothing of its answer for this long is given up"),
    Setting("server.tls_certificate", "PARPARCHIK_TLS_CERTIFICATE", values.path,
            "PEM file: the certificate and those that vouch for it. With it the port speaks TLS"
            " (HTTP/1.1 and HTTP/2)"),
    Setting("server.tls_key", "PARPARCHIK_TLS_KEY", values.path,
            "PEM file of the certificate's private key, without a passphrase; not set: it is in the"
            " certificate's file"),
    Setting("server.tls_min_version", "PARPARCHIK_TLS_MIN_VERSION", choice("1.2", "1.3"),
            "The oldest TLS version that is spoken"),
    Setting("server.tls_port", "PARPARCHIK_TLS_PORT", values.fixed_port,
            "A port of its own for TLS; the other then stays plain HTTP"),
    Setting("server.h2c", "PARPARCHIK_H2C", values.boolean,
            "HTTP/2 on plain connections too. Not behind a proxy that passes `Upgrade` on: requests"
            " could be smuggled past it"),
    Setting("s3.endpoint", "S3_ENDPOINT", values.endpoint,
            "S3 endpoint: `host:port` (http) or a URL; not set: AWS"),
    Setting("s3.external_endpoint", "S3_EXTERNAL_ENDPOINT", values.endpoint,
            "Endpoint that clients are sent to; not set: `S3_ENDPOINT`"),
    Setting("s3.region", "AWS_REGION", values.region, also="AWS_DEFAULT_REGION",
            doc="Region of the buckets"),
    Setting("s3.addressing", "PARPARCHIK_ADDRESSING", choice("auto", "path", "virtual"),
            "`path` or `virtual` host; `auto`: path style, but virtual host at AWS for bucket names"
            " without a dot"),
    Setting("s3.access_key_id", "AWS_ACCESS_KEY_ID", values.visible,
            "Credentials; not set: the AWS chain (profile, web identity, container, instance)"),
    Setting("s3.secret_access_key", "AWS_SECRET_ACCESS_KEY", values.visible, secret=True,
            doc="Goes with the key id"),
    Setting("s3.session_token", "AWS_SESSION_TOKEN", values.visible, secret=True,
            doc="Goes with temporary keys"),
    Setting("s3.profile", "AWS_PROFILE", values.text,
            "Profile of the shared AWS config and credentials files"),
    Setting("s3.ca_bundle", "AWS_CA_BUNDLE", values.path,
            "PEM file of the authorities to trust, in place of the system's"),
    Setting("s3.max_connections", "PARPARCHIK_S3_CONNECTIONS", integer(1, 65_535),
            "Connections to one endpoint at most"),
    Setting("s3.connect_timeout", "PARPARCHIK_S3_CONNECT_TIMEOUT", seconds(above=0), unit="s",
            doc="Time to connect to S3"),
    Setting("s3.read_timeout", "PARPARCHIK_S3_READ_TIMEOUT", seconds(above=0), unit="s",
            doc="Longest silence of S3 within an answer"),
    Setting("s3.total_timeout", "PARPARCHIK_S3_TOTAL_TIMEOUT", seconds(above=0), unit="s",
            doc="Time for one operation, retries included"),
    Setting("s3.probe_timeout", "PARPARCHIK_PROBE_TIMEOUT", seconds(above=0), unit="s",
            doc="Time for one existence probe (HEAD), retries included"),
    Setting("s3.idle_timeout", "PARPARCHIK_S3_IDLE_TIMEOUT", seconds(above=0), unit="s",
            doc="How long an unused connection to S3 is kept"),
    Setting("s3.retries", "PARPARCHIK_S3_RETRIES", integer(0, 20),
            "How often a request that S3 failed is repeated"),
    Setting("s3.denied_is_missing", "PARPARCHIK_DENIED_IS_MISSING", values.boolean,
            "Take 403 for a missing key: for those who cannot be granted `s3:ListBucket`"),
    Setting("routes.manifest_key", "PARPARCHIK_REGISTRY_MANIFEST_KEY", values.manifest_key,
            "Key of the manifest in buckets that name none of their own"),
    Setting("routes.verify", "PARPARCHIK_VERIFY", choice("ttl", "always", "never"),
            "When a route is checked against S3: within its TTL, at each request, not at all"),
    Setting("routes.verify_ttl", "PARPARCHIK_VERIFY_TTL", seconds(), unit="s",
            doc="How long S3's word on a route is good"),
    Setting("routes.negative_ttl", "PARPARCHIK_NEGATIVE_TTL", seconds(), unit="s",
            doc="How long an unknown key is remembered as such"),
    Setting("routes.negative_max", "PARPARCHIK_NEGATIVE_MAX", integer(0),
            "How many unknown keys are remembered"),
    Setting("routes.stale_if_error", "PARPARCHIK_STALE_IF_ERROR", seconds(), unit="s",
            doc="How long known routes go on redirecting while S3 fails; then 503"),
    Setting("routes.presign_expires", "PARPARCHIK_PRESIGN_EXPIRES", unit="s",
            parse=whole_seconds(1, 604_800), doc="Life of a presigned URL, up to 7 days"),
    Setting("routes.prepared_max", "PARPARCHIK_PREPARED_MAX", integer(0),
            "How many prepared redirects are kept"),
    Setting("routes.strict", "PARPARCHIK_STRICT_ROUTES", values.boolean,
            "404 for a file asked for under another bucket's prefix than the one that has it"),
    Setting("routes.list_sync", "PARPARCHIK_LIST_SYNC", values.boolean,
            "Every `/list` reads the buckets anew"),
    Setting("routes.verified_header", "PARPARCHIK_VERIFIED_HEADER", values.boolean,
            "`X-Parparchik-Verified` on redirects"),
    Setting("routes.manifest_window", "PARPARCHIK_MANIFEST_WINDOW", seconds(), unit="s",
            doc="A bucket's manifest is written at most once in this time"),
    Setting("routes.max_probes", "PARPARCHIK_MAX_PROBES", integer(1, 65_535),
            "HEADs under way at most: for requests and, apart from these, for reconciliation"),
    Setting("routes.max_waiting", "PARPARCHIK_MAX_WAITING", integer(1),
            "Requests that may wait for a HEAD; beyond it 503"),
    Setting("auth.api_keys", "PARPARCHIK_API_KEYS", values.api_keys, secret=True,
            doc="Keys, separated by commas, of which private buckets and the management API then"
            " want one (`Authorization: Bearer` or `X-API-Key`)"),
    Setting("auth.api_keys_file", "PARPARCHIK_API_KEYS_FILE", values.path,
            "File with more such keys, one a line; `#` begins a comment line"),
    Setting("auth.metrics_need_key", "PARPARCHIK_METRICS_NEED_KEY", values.boolean,
            "`/metrics` wants a key too"),
    Setting("log.format", "PARPARCHIK_LOG_FORMAT", choice("auto", "json", "console"),
            "`json` lines, or `console` for people; `auto`: the latter on a terminal"),
    Setting("log.level", "PARPARCHIK_LOG_LEVEL", choice("debug", "info", "warning", "error"),
            "The least level that is logged"),
    Setting("log.access", "PARPARCHIK_ACCESS_LOG", values.boolean,
            "A line for each request"),
)

# The keys of a [[bucket]] table; what one does not say it takes from the settings above.
BUCKET_SETTINGS: tuple[Setting, ...] = (
    Setting("bucket.name", "", values.text, "Name of the bucket, and the first part of its routes"),
    Setting("bucket.public", "", values.boolean, "Whether redirects are plain URLs"),
    Setting("bucket.manifest_key", "", values.manifest_key, "Key of its manifest"),
    Setting("bucket.endpoint", "", values.endpoint, "Its endpoint; `\"\"` means AWS"),
    Setting("bucket.external_endpoint", "", values.endpoint, "Endpoint that clients are sent to"),
    Setting("bucket.region", "", values.region, "Its region"),
    Setting("bucket.addressing", "", choice("auto", "path", "virtual"), "How it is addressed"),
    Setting("bucket.access_key_id", "", values.visible, "Its credentials"),
    Setting("bucket.secret_access_key", "", values.visible, "Goes with the key id", secret=True),
    Setting("bucket.session_token", "", values.visible, "Goes with temporary keys", secret=True),
    Setting("bucket.profile", "", values.text, "Its profile of the shared AWS files"),
)
# fmt: on
