"""Settings from the environment and the TOML file, put together and held against each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from parparchik.config.buckets import make_buckets
from parparchik.config.document import Document, read_document
from parparchik.config.environment import strangers
from parparchik.config.files import read_file
from parparchik.config.given import Given, gather
from parparchik.config.model import (
    AuthConfig,
    Config,
    LogConfig,
    RoutesConfig,
    S3Config,
    ServerConfig,
)
from parparchik.config.settings import SETTINGS
from parparchik.config.values import api_keys
from parparchik.errors import ConfigError

_Section = TypeVar("_Section", ServerConfig, S3Config, RoutesConfig, LogConfig)
_SHORT_KEY = 16  # characters; a random key of 64 bits in hex has as many


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and what the operator should be told about them."""

    config: Config
    warnings: tuple[str, ...] = ()


def load(environ: Mapping[str, str], toml: Path | bytes | None = None) -> Loaded:
    """The settings that `environ` and the TOML file make; the environment wins.

    `toml` is a file or its content; None takes the file that PARPARCHIK_CONFIG names, if any.
    Reads that file and those that settings name, and nothing else. Raises ConfigError, whose
    message is one line, names the setting and holds no secret.
    """
    document = _document(environ, toml)
    warnings = strangers(environ)
    given = gather(environ, document)
    buckets, remarks = make_buckets(given, document)
    config = Config(
        buckets=buckets,
        server=_section("server", ServerConfig(), given),
        s3=_section("s3", S3Config(), given),
        routes=_section("routes", RoutesConfig(), given),
        auth=_auth(given),
        log=_section("log", LogConfig(), given),
    )
    if config.s3.ca_bundle is not None:
        read_file(config.s3.ca_bundle, given.label("s3.ca_bundle"))
    _check_tls(config.server, given)
    return Loaded(config, (*warnings, *remarks, *_cautions(config)))


def _document(environ: Mapping[str, str], toml: Path | bytes | None) -> Document:
    if isinstance(toml, bytes):
        return read_document("TOML", toml)
    named = environ.get("PARPARCHIK_CONFIG", "").strip()
    if toml is None and not named:
        return Document()
    path, label = (Path(named), "PARPARCHIK_CONFIG") if toml is None else (toml, "--config")
    shown = str(path) if str(path).isprintable() else ascii(str(path))
    return read_document(shown, read_file(path, label))


def _section(table: str, default: _Section, given: Given) -> _Section:
    """A section of the model with what was given in place of its defaults. Settings of the table
    that the section has no attribute for are the buckets'."""
    attributes = {f.name for f in dataclasses.fields(default)}
    changes: dict[str, Any] = {
        setting.attribute: given.get(setting.name)
        for setting in SETTINGS
        if setting.toml.startswith(f"{table}.")
        and setting.name in given
        and setting.attribute in attributes
    }
    return dataclasses.replace(default, **changes)


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


def _cautions(config: Config) -> list[str]:
    """Settings that work and that the operator may regret."""
    keys = config.auth.api_keys
    short = sum(len(key) < _SHORT_KEY for key in keys)
    if not short:
        return []
    return [
        f"{short} of {len(keys)} API keys are shorter than {_SHORT_KEY} characters"
        " and can be guessed"
    ]
