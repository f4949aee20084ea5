"""Good replies and bad ones, of every endpoint: only the former are ever taken over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import NoCredentials
from parparchik.s3.credentials import CredentialStore
from parparchik.s3.credentials.reply import parse_endpoint_reply, parse_process_reply
from parparchik.s3.credentials.source import SourceError
from parparchik.s3.sigv4 import Credentials
from tests.s3.credentials.endpoint_server import Canned, EndpointServer, keys_json
from tests.s3.credentials.played_sources import LAST_REQUEST, LATER_S, Make, good_reply

every_source = pytest.mark.parametrize("make", LAST_REQUEST, ids=lambda make: make.__name__)


@every_source
async def test_a_good_reply(
    make: Make, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = make(endpoint, client, tmp_path)
    endpoint.on(*LAST_REQUEST[make], Canned(body=good_reply(make, expires_at_s=LATER_S)))
    assert await source.fetch() == Credentials(
        "ASIAONE", "one-secret-value", "one-session-token", float(LATER_S)
    )


BAD: Mapping[str, Callable[[bytes], Canned]] = {
    "server error": lambda good: Canned(500, body=good),
    "slow down": lambda good: Canned(429, body=good),
    "redirect": lambda good: Canned(307, location="/elsewhere"),
    "empty": lambda good: Canned(),
    "garbage": lambda good: Canned(body=b"<html>login first</html>"),
    "not text": lambda good: Canned(body=b"\xff\xfe\x00\x01"),
    "another shape": lambda good: Canned(body=b'["AccessKeyId"]'),
    "truncated body": lambda good: Canned(body=good, cut=True),
    "half, with an honest length": lambda good: Canned(body=good[: len(good) // 2]),
    "silent": lambda good: Canned(silent=True),
    "endless": lambda good: Canned(body=good + b" " * 100_000),
    "no key id": lambda good: Canned(body=good.replace(b"AccessKeyId", b"Other")),
    "no secret": lambda good: Canned(body=good.replace(b"SecretAccessKey", b"Other")),
    "no token": lambda good: Canned(
        body=good.replace(b"SessionToken", b"Other").replace(b"Token", b"Other")
    ),
    "no expiration": lambda good: Canned(body=good.replace(b"Expiration", b"Other")),
    "odd expiration": lambda good: Canned(body=good.replace(b"-", b"/")),
    "a line break in the token": lambda good: Canned(
        body=good.replace(b"one-session-token", b"one\\nX-Injected: 1")
    ),
}


@every_source
@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_reply_is_never_taken_over(
    make: Make, bad: str, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Neither at the first time, nor in place of good ones; and the next good reply is."""
    source = make(endpoint, client, tmp_path)
    step_s = 0.0
    store = CredentialStore([source], now=lambda: time.time() + step_s, chance=lambda: 0.0)
    good = Canned(body=good_reply(make, expires_at_s=LATER_S))
    renewed = Canned(body=good_reply(make, expires_at_s=LATER_S + 3600).replace(b"ONE", b"TWO"))
    broken = BAD[bad](renewed.body)
    endpoint.on(*LAST_REQUEST[make], broken, good, broken, renewed)
    for method in ("GET", "POST"):
        endpoint.on(method, "/elsewhere", renewed)
    with pytest.raises(NoCredentials) as caught:
        await store.load()
    for secret in ("one-secret-value", "one-session-token", "a.web.token"):
        assert secret not in str(caught.value)
    await store.load()
    assert store.current().access_key_id == "ASIAONE"
    step_s = LATER_S - 300 - time.time()  # the renewal is due
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        assert store.current().access_key_id == "ASIAONE"
        assert store.describe().failure
        with trio.fail_after(5):
            while store.current().access_key_id != "ASIATWO":  # noqa: ASYNC110  as a client sees it
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


@every_source
async def test_an_expired_reply_is_never_taken_over(
    make: Make, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = make(endpoint, client, tmp_path)
    body = good_reply(make, expires_at_s=time.time() - 1)
    endpoint.on(*LAST_REQUEST[make], Canned(body=body))
    store = CredentialStore([source])
    with pytest.raises(NoCredentials, match=f"{source.name}: the credentials expired at 20"):
        await store.load()
    with pytest.raises(NoCredentials, match="expired"):
        store.current()


@every_source
async def test_nobody_listens(
    make: Make, endpoint: EndpointServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        endpoint.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        source = make(endpoint, client, tmp_path)
        with pytest.raises(SourceError, match=f"{endpoint.url} could not be reached"):
            await source.fetch()


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_either_credentials_or_a_source_error(data: bytes) -> None:
    for parse in (parse_endpoint_reply, parse_process_reply):
        with pytest.raises(SourceError):
            parse(data)


@pytest.mark.parametrize("parse", [parse_endpoint_reply, parse_process_reply])
def test_every_truncation_of_a_reply_is_refused(parse: Callable[[bytes], Credentials]) -> None:
    whole = keys_json("one", expires_at_s=LATER_S, Version=1, SessionToken="t")
    assert parse(whole).access_key_id == "ASIAONE"
    for end in range(len(whole)):
        with pytest.raises(SourceError) as caught:
            parse(whole[:end])
        assert "one-secret-value" not in str(caught.value)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.text(max_size=20) | st.integers() | st.just("one-secret-value")
            for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration", "Code")
        },
    )
)
def test_a_reply_is_whole_or_refused(changed: dict[str, object]) -> None:
    data = keys_json("one", expires_at_s=LATER_S, **changed)
    complaint = ""
    try:
        credentials = parse_endpoint_reply(data)
    except SourceError as error:
        complaint = str(error)
    else:
        assert credentials.access_key_id
        assert credentials.secret_access_key
        assert credentials.session_token
        assert credentials.expires_at_s is not None
    assert "one-secret-value" not in complaint
