"""The management API of a running server, as commands ask it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from parparchik.cli.failures import MISCONFIGURED, CommandError, one_line
from parparchik.cli.options import load_quietly
from parparchik.config.model import ServerConfig
from parparchik.errors import ConfigError

_LARGEST_BYTES = 16 << 20  # of an answer
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what to ask, not to listen on


class Refusal(CommandError):
    """The server did not do it. `status` is what it answered, 0 where it did not."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ManagementAPI:
    """Its methods block: call them in a thread. Each call has a connection of its own, so that
    many threads may call. `ca_file` has the certificates to trust in place of the system's."""

    url: str
    api_key: str = field(default="", repr=False)
    ca_file: Path | None = None
    timeout_s: float = 60.0

    def get(self, path: str) -> Any:
        """The JSON document at `path`. Raises Refusal."""
        return self._ask("GET", path, None)

    def post(self, path: str, document: Mapping[str, object]) -> Any:
        """What is answered to a JSON document. Raises Refusal."""
        return self._ask("POST", path, json.dumps(document).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.api_key:
            headers["X-API-Key"] = self.api_key
        connection = self._connect()
        try:
            connection.request(method, urlsplit(self.url).path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            data = response.read(_LARGEST_BYTES)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Refusal(
                f"{self.url} does not answer: {reason} (--url names another server)", 0
            ) from None
        finally:
            connection.close()
        return self._understand(response.status, data)

    def _connect(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.ca_file)
            return HTTPSConnection(parts.netloc, timeout=self.timeout_s, context=context)
        return HTTPConnection(parts.netloc, timeout=self.timeout_s)

    def _understand(self, status: int, data: bytes) -> Any:
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        if status == 200 and document is not None:
            return document
        told = document.get("error") if isinstance(document, dict) else None
        why = f": {one_line(told)}" if isinstance(told, str) else ""
        raise Refusal(f"{self.url} answered {status}{why}{_HINTS.get(status, '')}", status)


_HINTS = {
    200: ", and no JSON: is it parparchik?",
    401: " (its API key: PARPARCHIK_API_KEYS or --api-key)",
    403: " (its API key: PARPARCHIK_API_KEYS or --api-key)",
    404: ": it has no cache (no site, no object gateway, no bucket in proxy mode)",
}


def open_management(
    url: str | None, api_key: str | None, ca_file: Path | None, config_file: Path | None
) -> ManagementAPI:
    """Of the server at `url`, or of the one that the settings describe; `api_key` may be a list,
    of which the first is taken. Raises CommandError and ConfigError."""
    key = (api_key or "").partition(",")[0].strip()
    if url is not None:
        return ManagementAPI(_checked(url), key, ca_file)
    try:
        loaded, _ = load_quietly(config_file)
    except ConfigError as error:
        raise ConfigError(f"{error}; or name the server by --url") from None
    keys = loaded.config.auth.api_keys
    return ManagementAPI(server_url(loaded.config.server), key or (*keys, "")[0], ca_file)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in url or not url.isascii() or not url.isprintable() or " " in url:
        raise click.UsageError("--url: expected http(s)://host:port")
    return parts._replace(query="", fragment="").geturl()


def server_url(server: ServerConfig) -> str:
    """Where this machine reaches the server of these settings. Raises CommandError."""
    if not server.port:
        raise CommandError("the settings leave the port open (0): give --url", MISCONFIGURED)
    host = _ANY_ADDRESS.get(server.host, server.host)
    is_tls = server.tls_certificate is not None and server.tls_port is None
    shown = f"[{host}]" if ":" in host else host
    return f"http{'s' * is_tls}://{shown}:{server.port}"
