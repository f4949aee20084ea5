"""Credentials that are written down: in our settings, or in the environment."""

from __future__ import annotations

from collections.abc import Mapping

from parparchik.config.model import StaticKeys
from parparchik.rfc import parse_iso8601
from parparchik.s3.credentials.source import NotConfigured, SourceError
from parparchik.s3.sigv4 import Credentials


class SettingsSource:
    """The keys that the settings give for a bucket."""

    name = "settings"

    def __init__(self, keys: StaticKeys) -> None:
        self._keys = keys

    async def fetch(self) -> Credentials:
        keys = self._keys
        return Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)


class EnvironmentSource:
    """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary ones, AWS_SESSION_TOKEN.

    AWS_CREDENTIAL_EXPIRATION says when temporary ones end: the environment of a process does not
    change, so they are not renewed, and the message then says so.
    """

    name = "environment"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def fetch(self) -> Credentials | NotConfigured:
        environ = self._environ
        access_key_id = environ.get("AWS_ACCESS_KEY_ID")
        if not access_key_id:
            return NotConfigured("AWS_ACCESS_KEY_ID is not set")
        secret_access_key = environ.get("AWS_SECRET_ACCESS_KEY")
        if not secret_access_key:
            raise SourceError("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")
        expiration = environ.get("AWS_CREDENTIAL_EXPIRATION")
        try:
            expires_at_s = parse_iso8601(expiration) if expiration else None
        except ValueError:
            raise SourceError("AWS_CREDENTIAL_EXPIRATION is not an ISO 8601 time") from None
        return Credentials(
            access_key_id, secret_access_key, environ.get("AWS_SESSION_TOKEN") or None, expires_at_s
        )
