"""Settings from the environment and the TOML file, put together and held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parparchik.config.aliases import resolve_aliases
from parparchik.config.buckets import make_buckets
from parparchik.config.dedup import check_dedup, make_dedup
from parparchik.config.document import Document, read_document
from parparchik.config.environment import strangers
from parparchik.config.files import read_file
from parparchik.config.given import Given, gather
from parparchik.config.model import (
    AuthConfig,
    CacheConfig,
    Config,
    LimitsConfig,
    LogConfig,
    RoutesConfig,
    S3Config,
    ServerConfig,
)
from parparchik.config.objects import make_objects
from parparchik.config.peers import with_peers
from parparchik.config.section import section
from parparchik.config.sinks import make_sinks
from parparchik.config.sites import NamedSite, check_places, make_sites, site_cautions
from parparchik.config.sizes import size_text
from parparchik.config.values import api_keys
from parparchik.errors import ConfigError

_SHORT_KEY = 16  # characters; a random key of 64 bits in hex has as many


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and what the operator should be told about them."""

    config: Config
    warnings: tuple[str, ...] = ()


def load(
    environ: Mapping[str, str],
    toml: Path | bytes | None = None,
    *,
    site: Mapping[str, object] | None = None,
    sinks: Sequence[Mapping[str, object]] = (),
) -> Loaded:
    """The settings that `environ` and the TOML file make; the environment wins.

    `toml` is a file or its content; None takes the file that PARPARCHIK_CONFIG names, if any.
    `site` is one more [[site]] table and `sinks` more [[sink]] tables, from the command line.
    Reads that file and those that settings name, and nothing else. Raises ConfigError, whose
    message is one line, names the setting and holds no secret.
    """
    document = _document(environ, toml)
    warnings = strangers(environ)
    environ, renamed = resolve_aliases(environ)
    given = gather(environ, document)
    auth = _auth(given)
    sites = make_sites(document, site, has_keys=bool(auth.api_keys))
    objects, idle = make_objects(given, document)
    wanted = {one.site.bucket: one.bucket_label for one in reversed(sites)}
    if objects is not None:
        label = given.label("objects.allowed_buckets")
        wanted = {name: label for name, _ in objects.allowed_buckets} | wanted
    shared = {*wanted}
    dedup = make_dedup(given, document, has_keys=bool(auth.api_keys))
    if dedup is not None:
        wanted = {dedup.bucket: given.label("dedup.bucket")} | wanted
    buckets = make_buckets(given, document, wanted)
    mounted = []
    if objects is not None:
        mounted.append((_label_of(given, "objects.mount", "the object gateway"), objects.mount))
    if dedup is not None:
        check_dedup(dedup, given, shared | {each.bucket.name for each in buckets.routes})
        mounted.append((_label_of(given, "dedup.mount", "the dedup store"), dedup.mount))
        if dedup.mount == "/":
            buckets.warnings.append(
                f"{mounted[-1][0]}: /list is the dedup store's, not that of files"
            )
    hidden = check_places(sites, mounted, buckets.routes)
    config = Config(
        buckets=buckets.routes,
        server=section("server", ServerConfig(), given),
        s3=section("s3", S3Config(), given),
        routes=section("routes", RoutesConfig(), given),
        auth=auth,
        limits=section("limits", LimitsConfig(), given),
        log=section("log", LogConfig(), given),
        cache=_cache(given, auth),
        sinks=make_sinks(given, document, sinks),
        sites=tuple(one.site for one in sites),
        objects=objects,
        dedup=dedup,
        other_buckets=buckets.others,
    )
    if config.s3.ca_bundle is not None:
        read_file(config.s3.ca_bundle, given.label("s3.ca_bundle"))
    _check_tls(config.server, given)
    _check_cache(config.cache, given)
    remarks = (*renamed, *idle, *buckets.warnings, *hidden)
    return Loaded(config, (*warnings, *remarks, *_cautions(config, given, sites)))


def _document(environ: Mapping[str, str], toml: Path | bytes | None) -> Document:
    if isinstance(toml, bytes):
        return read_document("TOML", toml)
    named = environ.get("PARPARCHIK_CONFIG", "").strip()
    if toml is None and not named:
        return Document()
    path, label = (Path(named), "PARPARCHIK_CONFIG") if toml is None else (toml, "--config")
    shown = str(path) if str(path).isprintable() else ascii(str(path))
    return read_document(shown, read_file(path, label))


def _auth(given: Given) -> AuthConfig:
    keys: tuple[str, ...] = given.get("auth.api_keys", ())
    if "auth.api_keys_file" in given:
        label = given.label("auth.api_keys_file")
        try:
            lines = read_file(given.get("auth.api_keys_file"), label).decode().splitlines()
            keys += api_keys([line for line in lines if not line.lstrip().startswith("#")])
        except UnicodeDecodeError:
            raise ConfigError(f"{label}: the file is not UTF-8 text") from None
        except ValueError as error:
            raise ConfigError(f"{label}: {error}, a line each") from None
    metrics_need_key = given.get("auth.metrics_need_key", False)
    if metrics_need_key and not keys:
        raise ConfigError(f"{given.label('auth.metrics_need_key')} needs PARPARCHIK_API_KEYS")
    return AuthConfig(tuple(dict.fromkeys(keys)), metrics_need_key)


def _check_tls(server: ServerConfig, given: Given) -> None:
    """Files that can be read, and no setting that means nothing without a certificate. Whether
    they hold what they should is OpenSSL's to say, when the server begins."""
    for name in ("server.tls_key", "server.tls_port", "server.tls_min_version"):
        if name in given and server.tls_certificate is None:
            raise ConfigError(f"{given.label(name)} needs PARPARCHIK_TLS_CERTIFICATE")
    if server.tls_certificate is not None:
        read_file(server.tls_certificate, given.label("server.tls_certificate"))
    if server.tls_key is not None:
        read_file(server.tls_key, given.label("server.tls_key"))
    if server.tls_port == server.port:
        raise ConfigError(
            f"{given.label('server.tls_port')}: the same as PARPARCHIK_PORT; leave it out, and"
            " that port speaks TLS"
        )


def _label_of(given: Given, name: str, otherwise: str) -> str:
    return given.label(name) if name in given else otherwise


def _cache(given: Given, auth: AuthConfig) -> CacheConfig:
    cache = section("cache", CacheConfig(), given)
    return with_peers(cache, auth, given.label("cache.peers")) if cache.peers else cache


def _check_cache(cache: CacheConfig, given: Given) -> None:
    """Sizes that fit into each other."""
    ordered = [
        ("memory_object", cache.memory_object_bytes, "memory", cache.memory_bytes),
        ("compress_min", cache.compress_min_bytes, "compress_max", cache.compress_max_bytes),
    ]
    if cache.directory is not None:
        ordered.append(("slice", cache.slice_bytes, "disk", cache.disk_bytes))
    for small, size, large, limit in ordered:
        if size > limit:
            raise ConfigError(
                f"{given.label(f'cache.{small}')}: {size_text(size)} is more than"
                f" {given.label(f'cache.{large}')}, {size_text(limit)}"
            )


def _cautions(config: Config, given: Given, sites: Sequence[NamedSite]) -> list[str]:
    """Settings that work and that the operator may regret."""
    cautions = site_cautions(sites)
    if "cache.disk" in given and config.cache.directory is None:
        cautions.append(f"{given.label('cache.disk')} is ignored: PARPARCHIK_CACHE_DIR is not set")
    keys = config.auth.api_keys
    if short := sum(len(key) < _SHORT_KEY for key in keys):
        cautions.append(
            f"{short} of {len(keys)} API keys are shorter than {_SHORT_KEY} characters"
            " and can be guessed"
        )
    return cautions
