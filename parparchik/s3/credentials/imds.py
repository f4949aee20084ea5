"""The instance metadata service of EC2, version 2: a token first, then the role, then its keys.

Rules: Amazon EC2 User Guide, "Use the Instance Metadata Service". Version 1, which asks for no
token, is not spoken: whatever can be tricked into one GET could read the keys from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from parparchik.s3.credentials.endpoint import NoAnswerError, ask_endpoint, parse_url
from parparchik.s3.credentials.reply import parse_endpoint_reply
from parparchik.s3.credentials.source import NotConfigured, SourceError
from parparchik.s3.sigv4 import Credentials

_ENDPOINTS = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_TOKEN_TTL_S = 21_600  # the longest that the service grants
_ROLES = "latest/meta-data/iam/security-credentials/"
# IAM's rule for a role's name; whatever else comes back is not from this service.
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
# Elsewhere than on EC2 the address leads nowhere: this is what it costs to find out.
_LIMIT_S = 1.0

_HOP_LIMIT = (
    "; in a container, the answer may have been lost on the way: "
    "set the instance's HttpPutResponseHopLimit to 2"
)


class InstanceMetadataSource:
    """The role of the EC2 instance.

    AWS_EC2_METADATA_DISABLED=true turns it off, AWS_EC2_METADATA_SERVICE_ENDPOINT moves it,
    AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6 takes its other address, and
    AWS_METADATA_SERVICE_TIMEOUT is the limit of one exchange in seconds (1).
    """

    name = "instance metadata"

    def __init__(self, environ: Mapping[str, str], client: httpx.AsyncClient) -> None:
        self._environ = environ
        self._client = client

    async def fetch(self) -> Credentials | NotConfigured:
        if self._environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return NotConfigured("AWS_EC2_METADATA_DISABLED is true")
        endpoint = self._endpoint()
        limit_s = self._limit_s()
        try:
            token = await self._text(
                "PUT",
                endpoint.join("latest/api/token"),
                {"x-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL_S)},
                limit_s,
            )
        except NoAnswerError as error:
            raise SourceError(f"{error}{_HOP_LIMIT}") from None
        if not (token.isascii() and token.isprintable() and token):
            raise SourceError(f"{endpoint.host} answered with something that is no token")
        headers = {"x-aws-ec2-metadata-token": token}
        roles = endpoint.join(_ROLES)
        role = (await self._text("GET", roles, headers, limit_s)).strip()
        if not _ROLE_NAME.fullmatch(role):
            raise SourceError(f"{endpoint.host} answered with something that is no role's name")
        keys = await self._get("GET", roles.join(role), headers, limit_s)
        return parse_endpoint_reply(keys)

    async def _text(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], limit_s: float
    ) -> str:
        return (await self._get(method, url, headers, limit_s)).decode("utf-8", "replace")

    async def _get(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], limit_s: float
    ) -> bytes:
        reply = await ask_endpoint(self._client, method, url, headers=headers, limit_s=limit_s)
        if reply.status == 404 and url.path.endswith(_ROLES):
            raise SourceError("this instance has no role (instance profile)")
        if reply.status == 403:
            raise SourceError(f"{url.host} refused: the metadata service is turned off")
        if reply.status != 200:
            raise SourceError(f"{url.host} answered with status {reply.status}")
        return reply.body

    def _endpoint(self) -> httpx.URL:
        """The service's root, with a slash at its end."""
        mode = self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") or "ipv4"
        default = _ENDPOINTS.get(mode.lower())
        if default is None:
            raise SourceError("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is neither IPv4 nor IPv6")
        text = self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or default
        url = parse_url(f"{text.rstrip('/')}/")
        if url is None:
            raise SourceError("AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL")
        return url

    def _limit_s(self) -> float:
        text = self._environ.get("AWS_METADATA_SERVICE_TIMEOUT")
        try:
            limit_s = float(text) if text else _LIMIT_S
        except ValueError:
            limit_s = 0.0
        if not 0 < limit_s <= 60:
            raise SourceError("AWS_METADATA_SERVICE_TIMEOUT is not a number of seconds up to 60")
        return limit_s
