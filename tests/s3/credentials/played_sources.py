"""The three sources that ask an endpoint, pointed at the local server, with short limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from parparchik.s3.credentials.container import ContainerSource
from parparchik.s3.credentials.imds import InstanceMetadataSource
from parparchik.s3.credentials.source import Source
from parparchik.s3.credentials.sts import SecurityTokenService
from parparchik.s3.credentials.web_identity import WebIdentitySource
from tests.s3.credentials.endpoint_server import EndpointServer, assume_role_xml, keys_json

ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE_ARN = "arn:aws:iam::123456789012:role/reader"
LATER_S = int(time.time()) + 3600

Make = Callable[[EndpointServer, httpx.AsyncClient, Path], Source]


def instance(endpoint: EndpointServer, client: httpx.AsyncClient, _: Path) -> Source:
    endpoint.play_instance(b"")
    environ = {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint.url,
        "AWS_METADATA_SERVICE_TIMEOUT": "0.5",
    }
    return InstanceMetadataSource(environ, client)


def container(endpoint: EndpointServer, client: httpx.AsyncClient, _: Path) -> Source:
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/keys"}
    return ContainerSource(environ, client, limit_s=0.5)


def web_identity(endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path) -> Source:
    token = tmp_path / "token"
    token.write_text("a.web.token\n")
    environ = {
        "AWS_ENDPOINT_URL_STS": endpoint.url,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": ROLE_ARN,
    }
    sts = SecurityTokenService(environ, client, region="us-east-1", limit_s=0.5)
    return WebIdentitySource(environ, sts)


def good_reply(make: Make, *, expires_at_s: float) -> bytes:
    if make is web_identity:
        action = "AssumeRoleWithWebIdentity"
        return assume_role_xml("one", expires_at_s=expires_at_s, action=action)
    return keys_json("one", expires_at_s=expires_at_s)


# Where the last request of each source goes.
LAST_REQUEST: Mapping[Make, tuple[str, str]] = {
    instance: ("GET", f"{ROLES}instance-role"),
    container: ("GET", "/keys"),
    web_identity: ("POST", "/"),
}
