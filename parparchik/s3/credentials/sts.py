"""The Security Token Service: a role's temporary credentials, for keys or for a token.

API: AWS STS reference, AssumeRole and AssumeRoleWithWebIdentity, version 2011-06-15.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx

from parparchik.errors import UpstreamError
from parparchik.s3.addressing import aws_domain
from parparchik.s3.credentials.endpoint import Reply, ask_endpoint, parse_url
from parparchik.s3.credentials.source import SourceError, check_sound
from parparchik.s3.sigv4 import Credentials, sign_headers
from parparchik.s3.xml import parse_assume_role, parse_error

_LIMIT_S = 10.0
_MESSAGE_MAX = 200  # characters of an error's message that are passed on
_PIECE = 12  # characters of a secret that are too many to give away
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_REGION = re.compile(r"[a-z0-9-]{1,40}")  # it becomes a part of a host's name


@dataclass(frozen=True, slots=True)
class Role:
    """What is asked for. Without `session_name` it is ours; without `duration_s` the role's."""

    arn: str
    session_name: str | None = None
    external_id: str | None = field(default=None, repr=False)
    duration_s: int | None = None

    def parameters(self, now_s: float) -> dict[str, str]:
        """The request's parameters that describe the role."""
        optional = {
            "ExternalId": self.external_id,
            "DurationSeconds": str(self.duration_s) if self.duration_s else None,
        }
        return {
            "RoleArn": self.arn,
            "RoleSessionName": self.session_name or f"parparchik-{int(now_s)}",
            **{name: value for name, value in optional.items() if value},
        }


class SecurityTokenService:
    """STS of a region, or what AWS_ENDPOINT_URL_STS (else AWS_ENDPOINT_URL) puts in its place.

    The region is AWS_REGION, else AWS_DEFAULT_REGION, else the profile's, else `region`.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        client: httpx.AsyncClient,
        *,
        region: str,
        now: Callable[[], float] = time.time,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._environ = environ
        self._client = client
        self._region = region
        self._now = now
        self._limit_s = limit_s

    async def assume_role(
        self, role: Role, credentials: Credentials, *, region: str | None = None
    ) -> Credentials:
        """The role's credentials, for who holds `credentials`. Raises SourceError."""
        check_sound(credentials)
        parameters = {"Action": "AssumeRole", **role.parameters(self._now())}
        return await self._ask(role, parameters, credentials, region)

    async def assume_role_with_web_identity(
        self, role: Role, token: str, *, region: str | None = None
    ) -> Credentials:
        """The role's credentials, for who holds `token`; the request isn't signed.

        Raises SourceError.
        """
        parameters = {
            "Action": "AssumeRoleWithWebIdentity",
            **role.parameters(self._now()),
            "WebIdentityToken": token,
        }
        return await self._ask(role, parameters, None, region)

    async def _ask(
        self,
        role: Role,
        parameters: Mapping[str, str],
        credentials: Credentials | None,
        profile_region: str | None,
    ) -> Credentials:
        region = self._region_for(profile_region)
        url = self._url(region)
        content = urlencode({**parameters, "Version": "2011-06-15"}).encode()
        headers = {"host": url.netloc.decode("ascii"), "content-type": _FORM}
        if credentials is not None:
            added = sign_headers(
                "POST",
                url.raw_path.decode("ascii"),
                (),
                headers.items(),
                payload_hash=hashlib.sha256(content).hexdigest(),
                credentials=credentials,
                region=region,
                now_s=self._now(),
                service="sts",
            )
            headers.update(added)
        reply = await ask_endpoint(
            self._client,
            "POST",
            url,
            headers=headers,
            content=content,
            limit_s=self._limit_s,
        )
        if reply.status != 200:
            sent = [parameters.get("WebIdentityToken"), role.external_id]
            if credentials is not None:
                sent += [credentials.secret_access_key, credentials.session_token]
            raise SourceError(f"STS refused {role.arn}: {_refusal(reply, sent)}")
        try:
            return parse_assume_role(reply.body)
        except UpstreamError as error:
            raise SourceError(f"STS gave no credentials for {role.arn}: {error}") from None

    def _region_for(self, profile_region: str | None) -> str:
        environ = self._environ
        return (
            environ.get("AWS_REGION")
            or environ.get("AWS_DEFAULT_REGION")
            or profile_region
            or self._region
        )

    def _url(self, region: str) -> httpx.URL:
        if not _REGION.fullmatch(region):
            raise SourceError(f"{region[:40]!a} is no region of STS")
        text = (
            self._environ.get("AWS_ENDPOINT_URL_STS")
            or self._environ.get("AWS_ENDPOINT_URL")
            or f"https://sts.{region}.{aws_domain(region)}"
        )
        url = parse_url(text)
        if url is None:
            raise SourceError("AWS_ENDPOINT_URL_STS (or AWS_ENDPOINT_URL) is not a URL")
        return url


def _refusal(reply: Reply, sent: Sequence[str | None]) -> str:
    """Why STS refused, in its own words unless these give back a piece of a secret it was sent:
    the answer to a wrong signature quotes the request."""
    error = parse_error(reply.body)
    if error is None:
        return f"status {reply.status}"
    code = error.code if error.code.isalnum() and len(error.code) < 80 else "an odd error"
    message = error.message[:_MESSAGE_MAX]
    if any(_shares_piece(message, secret) for secret in sent if secret):
        return f"{code} (status {reply.status})"
    return f"{code} (status {reply.status}) {message}".rstrip()


def _shares_piece(text: str, secret: str) -> bool:
    pieces = max(1, len(secret) - _PIECE + 1)
    return any(secret[start : start + _PIECE] in text for start in range(pieces))
