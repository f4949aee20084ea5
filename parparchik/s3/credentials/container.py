"""The endpoint that a container platform runs beside the container: ECS, and EKS Pod Identity.

Rules: AWS SDKs and Tools Reference Guide, "Container credential provider". The endpoint hands out
secrets for the asking, so plain HTTP goes only to this host and to the link-local addresses that
the platforms are known to use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import httpx

from parparchik.s3.credentials.endpoint import ask_endpoint, parse_url
from parparchik.s3.credentials.reply import parse_endpoint_reply
from parparchik.s3.credentials.source import NotConfigured, SourceError
from parparchik.s3.credentials.web_identity import read_token
from parparchik.s3.sigv4 import Credentials

_RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105  a variable's name
_TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105  a variable's name

_ECS_HOST = "169.254.170.2"
_PLAIN_HOSTS = frozenset({_ECS_HOST, "169.254.170.23", "fd00:ec2::23", "localhost"})
_LIMIT_S = 2.0


class ContainerSource:
    """AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, else AWS_CONTAINER_CREDENTIALS_FULL_URI.

    The token in AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE (read at every fetch), else the one in
    AWS_CONTAINER_AUTHORIZATION_TOKEN, goes into the Authorization header as it is.
    """

    name = "container endpoint"

    def __init__(
        self, environ: Mapping[str, str], client: httpx.AsyncClient, *, limit_s: float = _LIMIT_S
    ) -> None:
        self._environ = environ
        self._client = client
        self._limit_s = limit_s

    async def fetch(self) -> Credentials | NotConfigured:
        url = endpoint_url(self._environ)
        if url is None:
            return NotConfigured(f"neither {_RELATIVE} nor {_FULL} is set")
        headers = {"accept": "application/json"}
        if token := await self._token():
            headers["authorization"] = token
        reply = await ask_endpoint(self._client, "GET", url, headers=headers, limit_s=self._limit_s)
        if reply.status != 200:
            raise SourceError(f"{url.host} answered with status {reply.status}")
        return parse_endpoint_reply(reply.body)

    async def _token(self) -> str | None:
        path = self._environ.get(_TOKEN_FILE)
        token = await read_token(path) if path else self._environ.get(_TOKEN)
        if token and not (token.isascii() and token.isprintable()):
            where = path or _TOKEN
            raise SourceError(f"the token in {where} holds a line break or another odd character")
        return token or None


def endpoint_url(environ: Mapping[str, str]) -> httpx.URL | None:
    """Where to ask; None when nothing is set.

    Raises SourceError for what is no URL, or plain HTTP to a host that isn't known to be near.
    """
    relative = environ.get(_RELATIVE)
    full = environ.get(_FULL)
    if relative:
        variable = _RELATIVE
        # A host could be smuggled in otherwise: "http://169.254.170.2" + "@elsewhere/".
        text = f"http://{_ECS_HOST}{relative}" if relative.startswith("/") else ""
    elif full:
        variable, text = _FULL, full
    else:
        return None
    url = parse_url(text)
    if url is None:
        raise SourceError(f"{variable} is not the URI it should be")
    if url.scheme == "http" and not (url.host in _PLAIN_HOSTS or _is_loopback(url.host)):
        raise SourceError(
            f"{variable} is plain http to {url.host}: allowed are loopback addresses, "
            f"{', '.join(sorted(_PLAIN_HOSTS))}; others need https"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
