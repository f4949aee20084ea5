"""botocore's own credential resolver as the second opinion: the same files, environment and
servers must lead both to the same keys, by the same requests to STS; or both to nothing.

One difference is wanted: with both a profile that holds keys and a web identity in the
environment, botocore prefers the latter, and we, as the JavaScript SDK, the former.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

import botocore.exceptions
import botocore.session
import httpx
import pytest

from parparchik.config.model import Endpoint
from parparchik.errors import NoCredentials
from parparchik.s3.credentials import CredentialStores
from tests.s3.credentials.endpoint_server import EndpointServer
from tests.s3.credentials.oracle_cases import CASES, WEB, Case, Keys, everything, keys_of, one


@pytest.fixture
def environ(
    endpoint: EndpointServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The process's environment without anything of AWS, and a home of our own."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    (tmp_path / "token").write_text("a.web.token")
    added = {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint.url,
        "AWS_ENDPOINT_URL_STS": endpoint.url,
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    return {"PATH": os.environ["PATH"], **added}


def set_up(case: Case, environ: dict[str, str], endpoint: EndpointServer) -> dict[str, str]:
    home = environ["HOME"]

    def filled(text: str) -> str:
        return text.replace("{url}", endpoint.url).replace("{home}", home)

    for name, text in (("config", case.config), ("credentials", case.credentials)):
        if text is not None:
            (Path(home) / ".aws" / name).write_text(filled(text))
    return environ | {name: filled(value) for name, value in case.environ.items()}


async def found_by_us(environ: Mapping[str, str]) -> Keys | None:
    async with httpx.AsyncClient(trust_env=False) as client:
        store = CredentialStores(environ, client).for_endpoint(Endpoint())
        try:
            await store.load()
        except NoCredentials:
            return None
        found = store.current()
        return (found.access_key_id, found.secret_access_key, found.session_token)


def found_by_botocore() -> Keys | None:
    try:
        found = botocore.session.Session().get_credentials()
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
    except (
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        ValueError,
        OSError,
    ):
        return None
    return (frozen.access_key, frozen.secret_key, frozen.token)


def asked_of_sts(endpoint: EndpointServer) -> list[object]:
    """What matters of the requests so far, which are then forgotten."""
    asked: list[object] = []
    for seen in endpoint.seen:
        if seen.method == "POST":
            form = parse_qs(seen.body.decode())
            session = form["RoleSessionName"][0]
            invented = session.startswith(("parparchik-", "botocore-session-"))
            form["RoleSessionName"] = ["invented" if invented else session]
            signed_by = seen.headers.get("authorization", "").partition("/")[0]
            asked.append((form, signed_by, seen.headers.get("x-amz-security-token")))
    endpoint.seen.clear()
    return asked


@pytest.mark.parametrize("name", CASES)
async def test_as_botocore(
    name: str,
    endpoint: EndpointServer,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = CASES[name]
    environ = set_up(case, environ, endpoint)
    case.play(endpoint)
    ours = await found_by_us(environ)
    our_requests = asked_of_sts(endpoint)

    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    case.play(endpoint)
    theirs = found_by_botocore()

    assert ours == theirs
    assert ours == case.expected
    if ours:
        assert our_requests == asked_of_sts(endpoint)


async def test_the_profile_beats_the_web_identity(
    endpoint: EndpointServer, environ: dict[str, str]
) -> None:
    everything(endpoint)
    case = Case(None, WEB, credentials=f"[default]\n{one('FILE')}")
    assert await found_by_us(set_up(case, environ, endpoint)) == keys_of("FILE")
