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


@dataclass(frozen=True, slots=True)
class BucketConfig:
    bucket: Bucket
    endpoint: Endpoint


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
class LogConfig:
    format: LogFormat = "auto"
    level: str = "info"
    access: bool = True


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
class Config:
    """Everything. `buckets` is not empty and in priority order."""

    buckets: tuple[BucketConfig, ...]
    server: ServerConfig = field(default_factory=ServerConfig)
    s3: S3Config = field(default_factory=S3Config)
    routes: RoutesConfig = field(default_factory=RoutesConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    log: LogConfig = field(default_factory=LogConfig)
