"""Whatever goes well or badly: no secret in a log, a text for people, or a traceback."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
import structlog.testing
import trio

from parparchik.config.model import Endpoint, StaticKeys
from parparchik.errors import NoCredentials
from parparchik.s3.credentials import CredentialStores
from tests.s3.credentials.endpoint_server import (
    Canned,
    EndpointServer,
    assume_role_xml,
    keys_json,
    sts_error_xml,
)
from tests.s3.credentials.played_sources import LATER_S, ROLE_ARN, ROLES

# What must not show: sent to endpoints, received from them, or found in files and variables.
SENT = "sent-7Hq2vXw9-secret"
RECEIVED = "received-Zk4mTy81-secret"

KEYS = keys_json("one", expires_at_s=LATER_S, SecretAccessKey=RECEIVED, Token=f"{RECEIVED}-token")
WEB_KEYS = assume_role_xml(RECEIVED, expires_at_s=LATER_S, action="AssumeRoleWithWebIdentity")
ROLE_KEYS = assume_role_xml(RECEIVED, expires_at_s=LATER_S, action="AssumeRole")

# How an answer is spoilt, if at all.
SPOILT: Mapping[str, Callable[[bytes], Canned]] = {
    "good": lambda good: Canned(body=good),
    "refused, quoting the request": lambda _: Canned(
        403, sts_error_xml("SignatureDoesNotMatch", f"should have been POST {SENT}")
    ),
    "status 500 with the keys": lambda good: Canned(500, good),
    "half of the keys": lambda good: Canned(body=good[: good.index(b"Expiration") - 2]),
    "cut": lambda good: Canned(body=good, cut=True),
    "no end": lambda good: Canned(body=good.replace(b"Expiration", b"Other")),
    "an end that is a secret": lambda good: Canned(
        body=re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", RECEIVED.encode(), good)
    ),
}


def cases(
    endpoint: EndpointServer, tmp_path: Path
) -> Mapping[str, tuple[dict[str, str], Endpoint]]:
    """The environment and the settings of every kind of source."""
    (tmp_path / "token").write_text(SENT)
    (tmp_path / "config").write_text(
        f"[profile role]\nrole_arn={ROLE_ARN}\nsource_profile=base\nexternal_id={SENT}\n"
        f"[profile base]\naws_access_key_id=BASE\naws_secret_access_key={SENT}\n"
        f"aws_session_token={SENT}\n"
        f"[profile process]\ncredential_process=/bin/echo '{SENT}'\n"
    )
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_ENDPOINT_URL_STS": endpoint.url}
    return {
        "settings": ({}, Endpoint(keys=StaticKeys("OWN", SENT, SENT))),
        "bad settings": ({}, Endpoint(keys=StaticKeys("OWN", f"{SENT}\n", SENT))),
        "environment": (
            {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": SENT, "AWS_SESSION_TOKEN": SENT},
            Endpoint(),
        ),
        "bad environment": (
            {
                "AWS_ACCESS_KEY_ID": "ENV",
                "AWS_SECRET_ACCESS_KEY": SENT,
                "AWS_SESSION_TOKEN": f"{SENT}\n",
            },
            Endpoint(),
        ),
        "profile": (files, Endpoint(profile="base")),
        "role": (files, Endpoint(profile="role")),
        "process": (files, Endpoint(profile="process")),
        "web identity": (
            files
            | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": ROLE_ARN},
            Endpoint(),
        ),
        "container": (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/keys",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": SENT,
            },
            Endpoint(),
        ),
        "bad container token": (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/keys",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": f"{SENT}\n",
            },
            Endpoint(),
        ),
        "instance": ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint.url}, Endpoint()),
    }


CASE_NAMES = (
    "settings", "bad settings", "environment", "bad environment", "profile", "role", "process",
    "web identity", "container", "bad container token", "instance",
)  # fmt: skip


@pytest.mark.parametrize("name", CASE_NAMES)
@pytest.mark.parametrize("spoilt", SPOILT)
async def test_nothing_shows_a_secret(
    name: str,
    spoilt: str,
    endpoint: EndpointServer,
    client: httpx.AsyncClient,
    nursery: trio.Nursery,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = SPOILT[spoilt]
    endpoint.on("PUT", "/latest/api/token", Canned(body=SENT.encode()))
    endpoint.on("GET", ROLES, Canned(body=b"reader"))
    endpoint.on("GET", f"{ROLES}reader", answer(KEYS))
    endpoint.on("GET", "/keys", answer(KEYS))
    endpoint.on("POST", "/", answer(WEB_KEYS if name == "web identity" else ROLE_KEYS))
    environ, settings = cases(endpoint, tmp_path)[name]
    stores = CredentialStores(environ, client)
    store = stores.for_endpoint(settings)
    shown: list[object] = [settings]
    with structlog.testing.capture_logs() as logs:
        try:
            await store.load()
        except NoCredentials as error:
            shown += [error, *traceback.format_exception(error)]
        await nursery.start(store.run)
        try:
            shown.append(store.current())
        except NoCredentials as error:
            shown += [error, *traceback.format_exception(error)]
    shown += [*logs, store, stores, store.describe(), *caplog.messages]
    assert logs
    text = "\n".join(f"{thing!r}\n{thing}" for thing in shown)
    assert SENT not in text
    assert RECEIVED not in text
