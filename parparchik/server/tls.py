"""The certificate that clients are shown. It may change while the server runs.

Its files are read once and used as they were then: what has been accepted is what every process of
the server shows, whatever becomes of the files.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError

ALPN = ("h2", "http/1.1")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CERTIFICATE = "PARPARCHIK_TLS_CERTIFICATE"
_KEY = "PARPARCHIK_TLS_KEY"


@dataclass(frozen=True, slots=True)
class Pem:
    """What was in the files of a certificate and its key, which may be one file."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


class Certificate:
    """`context` is what a handshake that begins now uses; those under way keep theirs."""

    def __init__(self, config: ServerConfig, pem: Pem | None = None) -> None:
        """Without `pem` the files are read. Raises ConfigError."""
        self.context = make_context(config, pem or read_pem(config))

    def renew(self, config: ServerConfig, pem: Pem) -> None:
        """Raises ConfigError, and then what there was stays."""
        self.context = make_context(config, pem)


def read_pem(config: ServerConfig) -> Pem:
    """The files that `config` names. Raises ConfigError where one cannot be read."""
    certificate, key = _paths(config)
    read = _read(_CERTIFICATE, certificate)
    return Pem(read, read if key == certificate else _read(_KEY, key))


def make_context(config: ServerConfig, pem: Pem) -> ssl.SSLContext:
    """What the settings of `config` make of `pem`. Raises ConfigError, which names the setting."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = _VERSIONS[config.tls_min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113 section 9.2.1
    context.set_alpn_protocols(ALPN)
    try:
        with _as_file(pem.certificate) as certificate, _as_file(pem.key) as key:
            # Without a passphrase of ours OpenSSL would ask the terminal for one.
            context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigError(_explain(error, config, pem)) from None
    return context


def _paths(config: ServerConfig) -> tuple[Path, Path]:
    certificate = config.tls_certificate
    assert certificate is not None  # noqa: S101  nobody asks without one
    return certificate, config.tls_key or certificate


def _read(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}={file}: {error.strerror or error}") from None


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """OpenSSL's `load_cert_chain` takes paths alone: this one leads to memory, and to nothing
    when the context is left."""
    with open(os.memfd_create("parparchik-pem"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _explain(error: Exception, config: ServerConfig, pem: Pem) -> str:
    certificate, key = _paths(config)
    setting = _CERTIFICATE if key == certificate else _KEY
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return (
                f"{setting}: {key} has the key of another certificate than"
                f" {_CERTIFICATE}={certificate}, whose first one has to be the server's"
            )
        if b"-----BEGIN CERTIFICATE-----" not in pem.certificate:
            return f"{_CERTIFICATE}: {certificate} holds no certificate in PEM form"
        if b"PRIVATE KEY-----" not in pem.key:
            hint = f"; {_KEY} says where it is" if key == certificate else ""
            return f"{setting}: {key} holds no private key in PEM form{hint}"
        if b"ENCRYPTED" in pem.key:
            return f"{setting}: the key in {key} has a passphrase; write it without one"
        return f"{_CERTIFICATE}: {certificate}: {error.reason or error}"
    return f"{_CERTIFICATE}={certificate}, {_KEY}={key}: {error}"
