"""The Security Token Service: what is sent to which host, signed or not, and its refusals."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import httpx
import pytest

from parparchik.s3.credentials.source import SourceError
from parparchik.s3.credentials.sts import Role, SecurityTokenService
from parparchik.s3.credentials.web_identity import WebIdentitySource
from parparchik.s3.sigv4 import Credentials
from tests.s3.credentials.endpoint_server import (
    Canned,
    EndpointServer,
    assume_role_xml,
    sts_error_xml,
)
from tests.s3.credentials.played_sources import LATER_S, ROLE_ARN, good_reply, web_identity


async def test_web_identity_request_and_token_read_every_time(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = web_identity(endpoint, client, tmp_path)
    endpoint.on("POST", "/", Canned(body=good_reply(web_identity, expires_at_s=LATER_S)))
    await source.fetch()
    (tmp_path / "token").write_text("renewed.web.token")
    await source.fetch()
    forms = [parse_qs(seen.body.decode()) for seen in endpoint.seen]
    assert [form["WebIdentityToken"] for form in forms] == [["a.web.token"], ["renewed.web.token"]]
    assert forms[0]["Action"] == ["AssumeRoleWithWebIdentity"]
    assert forms[0]["Version"] == ["2011-06-15"]
    assert forms[0]["RoleArn"] == [ROLE_ARN]
    assert forms[0]["RoleSessionName"][0].startswith("parparchik-")
    assert "authorization" not in endpoint.seen[0].headers


async def test_assume_role_is_signed_as_botocore_signs(
    endpoint: EndpointServer, client: httpx.AsyncClient
) -> None:
    endpoint.on(
        "POST", "/", Canned(body=assume_role_xml("two", expires_at_s=LATER_S, action="AssumeRole"))
    )
    environ = {"AWS_ENDPOINT_URL": endpoint.url, "AWS_REGION": "eu-west-1"}
    sts = SecurityTokenService(environ, client, region="us-east-1")
    role = Role(ROLE_ARN, session_name="s", external_id="an id/with=odd&parts", duration_s=900)
    caller = Credentials("AKIAONE", "one-secret-value", "one-session-token")
    assert (await sts.assume_role(role, caller)).access_key_id == "ASIATWO"
    (seen,) = endpoint.seen
    form = parse_qs(seen.body.decode())
    assert form["ExternalId"] == ["an id/with=odd&parts"]
    assert form["DurationSeconds"] == ["900"]
    assert form["RoleSessionName"] == ["s"]

    scope, names, _ = seen.headers["authorization"].split(", ")
    signed = names.partition("=")[2].split(";")
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(signed)
    assert scope.endswith("/eu-west-1/sts/aws4_request")
    oracle = botocore.auth.SigV4Auth(
        botocore.credentials.Credentials("AKIAONE", "one-secret-value", "one-session-token"),
        "sts",
        "eu-west-1",
    )
    request = botocore.awsrequest.AWSRequest(
        method="POST",
        url=endpoint.url,
        data=seen.body,
        headers={name: seen.headers[name] for name in signed},
    )
    request.context["timestamp"] = seen.headers["x-amz-date"]
    to_sign = oracle.string_to_sign(request, oracle.canonical_request(request))
    assert seen.headers["authorization"].endswith(oracle.signature(to_sign, request))


@pytest.mark.parametrize(
    ("environ", "profile_region", "expected"),
    [
        ({}, None, "https://sts.eu-north-1.amazonaws.com"),
        ({}, "eu-west-3", "https://sts.eu-west-3.amazonaws.com"),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, "x", "https://sts.cn-north-1.amazonaws.com.cn"),
        ({"AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1"}, "x", "https://sts.a-1.amazonaws.com"),
    ],
)
async def test_sts_is_the_regional_one(
    environ: dict[str, str], profile_region: str | None, expected: str
) -> None:
    """Seen by a client whose proxy is this test: it reports the host, and connects nowhere."""
    asked: list[str] = []

    class Reporting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(str(request.url))
            raise httpx.ConnectError("not connected")

    async with httpx.AsyncClient(transport=Reporting()) as client:
        sts = SecurityTokenService(environ, client, region="eu-north-1")
        with pytest.raises(SourceError, match="could not be reached"):
            await sts.assume_role_with_web_identity(Role(ROLE_ARN), "t", region=profile_region)
    assert [url.rstrip("/") for url in asked] == [expected]


@pytest.mark.parametrize("region", ["evil.example/", "a b", "", "x@y"])
async def test_a_region_cannot_become_a_host(region: str, client: httpx.AsyncClient) -> None:
    sts = SecurityTokenService({}, client, region=region)
    with pytest.raises(SourceError, match="no region"):
        await sts.assume_role_with_web_identity(Role(ROLE_ARN), "token")


@pytest.mark.parametrize("url", ["nonsense", "ftp://sts", "http://"])
async def test_an_sts_endpoint_that_is_no_url(url: str, client: httpx.AsyncClient) -> None:
    sts = SecurityTokenService({"AWS_ENDPOINT_URL_STS": url}, client, region="us-east-1")
    with pytest.raises(SourceError, match="AWS_ENDPOINT_URL_STS"):
        await sts.assume_role_with_web_identity(Role(ROLE_ARN), "token")


async def test_sts_says_why_it_refuses(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = web_identity(endpoint, client, tmp_path)
    message = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    endpoint.on("POST", "/", Canned(403, sts_error_xml("AccessDenied", message)))
    with pytest.raises(SourceError) as caught:
        await source.fetch()
    assert str(caught.value) == f"STS refused {ROLE_ARN}: AccessDenied (status 403) {message}"


@pytest.mark.parametrize("start", [0, 3, 195, 480])
async def test_sts_that_echoes_a_token_is_not_quoted(
    start: int, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = web_identity(endpoint, client, tmp_path)
    token = "".join(chr(65 + i % 26) + str(i) for i in range(400))
    (tmp_path / "token").write_text(token)
    message = "x" * start + token[200:]
    endpoint.on("POST", "/", Canned(400, sts_error_xml("InvalidIdentityToken", message)))
    with pytest.raises(SourceError, match="InvalidIdentityToken") as caught:
        await source.fetch()
    text = str(caught.value)
    assert not any(token[at : at + 12] in text for at in range(len(token) - 11))


async def test_web_identity_half_set_up(client: httpx.AsyncClient) -> None:
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
    sts = SecurityTokenService(environ, client, region="us-east-1")
    with pytest.raises(SourceError, match="AWS_ROLE_ARN is not"):
        await WebIdentitySource(environ, sts).fetch()
