"""The instance metadata service: the order of its three requests, and what can go wrong."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from parparchik.s3.credentials.imds import InstanceMetadataSource
from parparchik.s3.credentials.source import NotConfigured, SourceError
from tests.s3.credentials.endpoint_server import Canned, EndpointServer, keys_json
from tests.s3.credentials.played_sources import LATER_S, ROLES, instance


async def test_instance_asks_for_a_token_first_and_shows_it(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    endpoint.play_instance(keys_json("one", expires_at_s=LATER_S))
    await source.fetch()
    token, role, keys = endpoint.seen
    assert (token.method, token.path) == ("PUT", "/latest/api/token")
    assert token.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
    assert "x-forwarded-for" not in token.headers  # the service refuses a PUT with it
    assert [seen.path for seen in (role, keys)] == [ROLES, f"{ROLES}instance-role"]
    for seen in (role, keys):
        assert seen.headers["x-aws-ec2-metadata-token"] == "imds-token"


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_instance_never_falls_back_to_version_1(
    status: int, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    endpoint.play_instance(keys_json("one", expires_at_s=LATER_S))
    endpoint.on("PUT", "/latest/api/token", Canned(status))
    with pytest.raises(SourceError, match=r"refused|status"):
        await source.fetch()
    assert [seen.method for seen in endpoint.seen] == ["PUT"]


async def test_a_silent_token_request_points_to_the_hop_limit(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    endpoint.on("PUT", "/latest/api/token", Canned(silent=True))
    with pytest.raises(SourceError, match=r"within 0.5 s.*HttpPutResponseHopLimit"):
        await source.fetch()


async def test_instance_without_a_role(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    endpoint.on("GET", ROLES, Canned(404))
    with pytest.raises(SourceError, match="this instance has no role"):
        await source.fetch()


async def test_instance_reports_the_failure_that_comes_with_status_200(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    body = b'{"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}'
    endpoint.play_instance(body)
    with pytest.raises(SourceError, match="reports AssumeRoleUnauthorizedAccess"):
        await source.fetch()


@pytest.mark.parametrize("role", [b"", b"<html>", b"../../user-data", b"a\r\nb", b"r" * 65])
async def test_instance_with_an_odd_role_name(
    role: bytes, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    endpoint.on("GET", ROLES, Canned(body=role))
    with pytest.raises(SourceError, match="no role's name"):
        await source.fetch()
    assert len(endpoint.seen) == 2


async def test_instance_with_an_odd_token(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = instance(endpoint, client, tmp_path)
    endpoint.on("PUT", "/latest/api/token", Canned(body=b"<html>\r\n</html>"))
    with pytest.raises(SourceError, match="no token"):
        await source.fetch()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "nowhere"}, "ENDPOINT is not a URL"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "ftp://h"}, "ENDPOINT is not a URL"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipx"}, "neither IPv4 nor IPv6"),
        ({"AWS_METADATA_SERVICE_TIMEOUT": "soon"}, "not a number of seconds"),
        ({"AWS_METADATA_SERVICE_TIMEOUT": "0"}, "not a number of seconds"),
        ({"AWS_METADATA_SERVICE_TIMEOUT": "nan"}, "not a number of seconds"),
    ],
)
async def test_instance_settings_that_cannot_work(
    environ: dict[str, str], reason: str, client: httpx.AsyncClient
) -> None:
    with pytest.raises(SourceError, match=reason):
        await InstanceMetadataSource(environ, client).fetch()


async def test_instance_turned_off(client: httpx.AsyncClient) -> None:
    source = InstanceMetadataSource({"AWS_EC2_METADATA_DISABLED": "True"}, client)
    assert await source.fetch() == NotConfigured("AWS_EC2_METADATA_DISABLED is true")
