"""The container endpoint: where it may be, and the token that it wants to see."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from parparchik.s3.credentials.container import ContainerSource, endpoint_url
from parparchik.s3.credentials.source import SourceError
from tests.s3.credentials.endpoint_server import Canned, EndpointServer, keys_json
from tests.s3.credentials.played_sources import LATER_S, container


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"RELATIVE_URI": "/v2/credentials/1"}, "http://169.254.170.2/v2/credentials/1"),
        ({"RELATIVE_URI": "/v2?id=1", "FULL_URI": "http://h/"}, "http://169.254.170.2/v2?id=1"),
        ({"FULL_URI": "http://169.254.170.2/x"}, "http://169.254.170.2/x"),
        (
            {"FULL_URI": "http://169.254.170.23/v1/credentials"},
            "http://169.254.170.23/v1/credentials",
        ),
        ({"FULL_URI": "http://[fd00:ec2::23]/v1"}, "http://[fd00:ec2::23]/v1"),
        ({"FULL_URI": "http://localhost:1234/x"}, "http://localhost:1234/x"),
        ({"FULL_URI": "http://127.8.9.1:80/x"}, "http://127.8.9.1/x"),
        ({"FULL_URI": "http://[::1]:99/x"}, "http://[::1]:99/x"),
        ({"FULL_URI": "https://keys.example.com/x"}, "https://keys.example.com/x"),
    ],
)
def test_container_url(environ: dict[str, str], url: str | None) -> None:
    given_url = endpoint_url({f"AWS_CONTAINER_CREDENTIALS_{k}": v for k, v in environ.items()})
    assert given_url == (None if url is None else httpx.URL(url))


@pytest.mark.parametrize(
    "environ",
    [
        {"RELATIVE_URI": "@evil.example/"},
        {"RELATIVE_URI": ".evil.example/"},
        {"RELATIVE_URI": "v2/credentials"},
        {"RELATIVE_URI": ":8080/v2"},
        {"FULL_URI": "http://keys.example.com/x"},
        {"FULL_URI": "http://169.254.169.254/x"},
        {"FULL_URI": "http://127.0.0.1@evil.example/"},
        {"FULL_URI": "http://localhost.evil.example/"},
        {"FULL_URI": "http://8.8.8.8/"},
        {"FULL_URI": "ftp://localhost/x"},
        {"FULL_URI": "/v1/credentials"},
        {"FULL_URI": "localhost:80"},
        {"FULL_URI": "http://"},
        {"FULL_URI": "http://localhost:port/"},
    ],
)
def test_container_url_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SourceError, match="AWS_CONTAINER_CREDENTIALS"):
        endpoint_url({f"AWS_CONTAINER_CREDENTIALS_{k}": v for k, v in environ.items()})


async def test_container_token_file_is_read_every_time(
    endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/keys",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "loses to the file",
    }
    endpoint.on("GET", "/keys", Canned(body=keys_json("one", expires_at_s=LATER_S)))
    source = ContainerSource(environ, client)
    with pytest.raises(SourceError, match=r"token file .* does not exist"):
        await source.fetch()
    for token in ("first", "Bearer second"):
        token_file.write_text(f"{token}\n")
        await source.fetch()
    token_file.write_text(" \n")
    with pytest.raises(SourceError, match="is empty"):
        await source.fetch()
    token_file.write_text("two\r\nlines: 1")
    with pytest.raises(SourceError, match="line break"):
        await source.fetch()
    token_file.write_bytes(b"\xff\xff")
    with pytest.raises(SourceError, match="not UTF-8"):
        await source.fetch()
    assert [seen.headers["authorization"] for seen in endpoint.seen] == ["first", "Bearer second"]


async def test_container_token_of_the_environment_is_sent_as_it_is(
    endpoint: EndpointServer, client: httpx.AsyncClient
) -> None:
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/keys",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic abc==",
    }
    endpoint.on("GET", "/keys", Canned(body=keys_json("one", expires_at_s=LATER_S)))
    await ContainerSource(environ, client).fetch()
    assert endpoint.seen[0].headers["authorization"] == "Basic abc=="
    bad = environ | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\nb"}
    with pytest.raises(SourceError, match="line break"):
        await ContainerSource(bad, client).fetch()


async def test_no_token_no_authorization(endpoint: EndpointServer, tmp_path: Path) -> None:
    """Not even that of a client which signs everything else."""
    async with httpx.AsyncClient(trust_env=False, auth=("user", "password")) as client:
        source = container(endpoint, client, tmp_path)
        endpoint.on("GET", "/keys", Canned(body=keys_json("one", expires_at_s=LATER_S)))
        await source.fetch()
    assert "authorization" not in endpoint.seen[0].headers
