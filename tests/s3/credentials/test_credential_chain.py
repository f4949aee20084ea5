"""The chain as a whole: its order, where it stops, and what it says."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from parparchik.config.model import Endpoint, StaticKeys
from parparchik.errors import NoCredentials
from parparchik.s3.credentials import CredentialStores
from tests.s3.credentials.endpoint_server import (
    Canned,
    EndpointServer,
    assume_role_xml,
    keys_json,
)
from tests.s3.credentials.played_sources import LATER_S, ROLE_ARN

WEB_IDENTITY = "AssumeRoleWithWebIdentity"


@pytest.fixture
def environ(endpoint: EndpointServer, tmp_path: Path) -> dict[str, str]:
    """Every source is set up, each with keys of its own."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id=PROFILE\naws_secret_access_key=s\n"
        "[other]\naws_access_key_id=OTHER\naws_secret_access_key=s\n"
    )
    (tmp_path / "token").write_text("a.web.token")
    endpoint.play_instance(keys_json("instance", expires_at_s=LATER_S))
    endpoint.on("GET", "/keys", Canned(body=keys_json("container", expires_at_s=LATER_S)))
    endpoint.on(
        "POST", "/", Canned(body=assume_role_xml("web", expires_at_s=LATER_S, action=WEB_IDENTITY))
    )
    return {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "ENV",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_ENDPOINT_URL_STS": endpoint.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/keys",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint.url,
    }


async def found(
    environ: dict[str, str], client: httpx.AsyncClient, endpoint: Endpoint | None = None
) -> tuple[str, str]:
    """The key id and the source's name."""
    store = CredentialStores(environ, client).for_endpoint(endpoint or Endpoint())
    await store.load()
    return store.current().access_key_id, store.describe().source


async def test_order(environ: dict[str, str], client: httpx.AsyncClient) -> None:
    steps = [
        (("ENV", "environment"), "AWS_ACCESS_KEY_ID"),
        (("PROFILE", "profile 'default'"), "HOME"),
        (("ASIAWEB", "web identity"), "AWS_WEB_IDENTITY_TOKEN_FILE"),
        (("ASIACONTAINER", "container endpoint"), "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        (("ASIAINSTANCE", "instance metadata"), "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    ]
    for expected, taken_away in steps:
        assert await found(environ, client) == expected
        del environ[taken_away]
    environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with pytest.raises(NoCredentials) as caught:
        await found(environ, client)
    assert str(caught.value) == (
        "no credentials for S3: "
        "environment: AWS_ACCESS_KEY_ID is not set; "
        "profile 'default': not in ~/.aws/credentials and ~/.aws/config; "
        "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; "
        "container endpoint: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
        "AWS_CONTAINER_CREDENTIALS_FULL_URI is set; "
        "instance metadata: AWS_EC2_METADATA_DISABLED is true"
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": ""}, "environment: AWS_ACCESS_KEY_ID is set, but AWS_SECRET"),
        ({"AWS_SECRET_ACCESS_KEY": "s\n"}, "environment: the secret access key .* line break"),
        ({"AWS_ACCESS_KEY_ID": "a b"}, "environment: the access key id .* odd characters"),
        ({"AWS_SESSION_TOKEN": "a\r\nb: c"}, "environment: the session token .* odd characters"),
        ({"AWS_CREDENTIAL_EXPIRATION": "soon"}, "environment: AWS_CREDENTIAL_EXPIRATION is not"),
        (
            {"AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"},
            "environment: the credentials expired at 2020-01-01T00:00:00Z",
        ),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "gone"}, "profile 'gone': not in /"),
        (
            {"AWS_ACCESS_KEY_ID": "", "HOME": "", "AWS_ROLE_ARN": ""},
            "web identity: .* AWS_ROLE_ARN",
        ),
        (
            {
                "AWS_ACCESS_KEY_ID": "",
                "HOME": "",
                "AWS_WEB_IDENTITY_TOKEN_FILE": "",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/",
            },
            "container endpoint: .* is plain http to 192.0.2.1",
        ),
    ],
)
async def test_a_source_that_is_set_up_wrongly_ends_the_search(
    changed: dict[str, str],
    reason: str,
    environ: dict[str, str],
    client: httpx.AsyncClient,
    endpoint: EndpointServer,
) -> None:
    with pytest.raises(NoCredentials, match=reason):
        await found(environ | changed, client)
    assert not endpoint.seen


async def test_keys_of_the_settings_bypass_the_chain(
    environ: dict[str, str], client: httpx.AsyncClient
) -> None:
    keys = StaticKeys("OWN", "s", "t")
    assert await found(environ, client, Endpoint(keys=keys)) == ("OWN", "settings")


async def test_a_profile_of_the_settings_bypasses_the_chain(
    environ: dict[str, str], client: httpx.AsyncClient, endpoint: EndpointServer
) -> None:
    assert await found(environ, client, Endpoint(profile="other")) == ("OTHER", "profile 'other'")
    with pytest.raises(NoCredentials, match="profile 'gone': not in "):
        await found(environ, client, Endpoint(profile="gone"))
    assert not endpoint.seen


async def test_buckets_with_one_source_share_a_store(
    environ: dict[str, str], client: httpx.AsyncClient
) -> None:
    stores = CredentialStores(environ, client)
    by_chain = stores.for_endpoint(Endpoint(region="eu-west-1"))
    by_profile = stores.for_endpoint(Endpoint(profile="other"))
    by_keys = stores.for_endpoint(Endpoint(keys=StaticKeys("OWN", "s")))
    assert stores.for_endpoint(Endpoint(url="http://127.0.0.1:1")) is by_chain
    assert stores.for_endpoint(Endpoint(profile="other", region="b")) is by_profile
    assert stores.for_endpoint(Endpoint(keys=StaticKeys("OWN", "s"))) is by_keys
    other_secret = stores.for_endpoint(Endpoint(keys=StaticKeys("OWN", "t")))
    assert list(stores) == [by_chain, by_profile, by_keys, other_secret]
