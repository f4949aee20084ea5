"""The certificate that clients are shown. It may change while the server runs."""

from __future__ import annotations

import ssl
from pathlib import Path

from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError

ALPN = ("h2", "http/1.1")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Certificate:
    """`context` is what a handshake that begins now uses; those under way keep theirs."""

    def __init__(self, config: ServerConfig) -> None:
        """Raises ConfigError."""
        self.context = load_context(config)

    def renew(self, config: ServerConfig) -> None:
        """Read the files again. Raises ConfigError, and then what there was stays."""
        self.context = load_context(config)


def load_context(config: ServerConfig) -> ssl.SSLContext:
    """What the settings of `config` make. Raises ConfigError, which names the setting."""
    certificate = config.tls_certificate
    assert certificate is not None  # noqa: S101  nobody asks without one
    key = config.tls_key or certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = _VERSIONS[config.tls_min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113 section 9.2.1
    context.set_alpn_protocols(ALPN)
    try:
        # Without a passphrase of ours OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigError(_explain(error, certificate, key)) from None
    return context


def _explain(error: Exception, certificate: Path, key: Path) -> str:
    setting = "PARPARCHIK_TLS_CERTIFICATE" if key == certificate else "PARPARCHIK_TLS_KEY"
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return (
                f"{setting}: {key} has the key of another certificate than"
                f" PARPARCHIK_TLS_CERTIFICATE={certificate}, whose first one has to be the server's"
            )
        if not _holds(certificate, b"-----BEGIN CERTIFICATE-----"):
            return f"PARPARCHIK_TLS_CERTIFICATE: {certificate} holds no certificate in PEM form"
        if not _holds(key, b"PRIVATE KEY-----"):
            hint = "; PARPARCHIK_TLS_KEY says where it is" if key == certificate else ""
            return f"{setting}: {key} holds no private key in PEM form{hint}"
        if _holds(key, b"ENCRYPTED"):
            return f"{setting}: the key in {key} has a passphrase; write it without one"
        return f"PARPARCHIK_TLS_CERTIFICATE: {certificate}: {error.reason or error}"
    return f"PARPARCHIK_TLS_CERTIFICATE={certificate}, PARPARCHIK_TLS_KEY={key}: {error}"


def _holds(file: Path, text: bytes) -> bool:
    try:
        return text in file.read_bytes()
    except OSError:
        return False
