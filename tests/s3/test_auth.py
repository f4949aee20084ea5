"""What the httpx hook puts on a request, held against botocore's signature of that request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import NoCredentials
from parparchik.s3.auth import SigV4Auth
from parparchik.s3.sigv4 import (
    EMPTY_PAYLOAD_SHA256,
    UNSIGNED_PAYLOAD,
    Credentials,
    encode_component,
    encode_key,
)
from tests.s3 import sigv4_oracle as oracle

_KEYS = Credentials("AKID", "secret", "token")
_NOW_S = 1_777_975_200.5


def _sign(
    request: httpx.Request, credentials: Callable[[], Credentials] = lambda: _KEYS
) -> httpx.Request:
    auth = SigV4Auth(credentials, "eu-central-1", now=lambda: _NOW_S)
    return next(auth.sync_auth_flow(request))


def _signed_names(request: httpx.Request) -> set[str]:
    _, _, rest = request.headers["authorization"].partition("SignedHeaders=")
    return set(rest.partition(",")[0].split(";"))


def _assert_as_botocore(request: httpx.Request, signed: set[str]) -> None:
    """The request carries what botocore computes for its URL, given these signed headers."""
    added = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    expected = oracle.signed_headers(
        request.method,
        str(request.url),
        [(name, request.headers[name]) for name in signed],
        payload_hash=request.headers["x-amz-content-sha256"],
        credentials=_KEYS,
        region="eu-central-1",
        now_s=_NOW_S,
    )
    assert _signed_names(request) == {"host", *signed, *added}
    assert {name: request.headers[name] for name in expected} == expected


# Segments of one or two dots are no keys of ours, and httpx resolves them.
plain_keys = oracle.keys.filter(lambda key: not {".", ".."} & set(key.split("/")))


@given(
    key=plain_keys,
    query=st.lists(st.tuples(oracle.text.filter(bool), oracle.text), max_size=4),
)
def test_what_is_sent_is_what_was_signed(key: str, query: list[tuple[str, str]]) -> None:
    url = f"https://s3.example:9000/{encode_key(key)}"
    request = _sign(httpx.Request("GET", url, params=urlencode(query)))
    _assert_as_botocore(request, set())
    path, _, sent = request.url.raw_path.decode().partition("?")
    assert path == f"/{encode_key(key)}"
    assert sorted(parse_qsl(sent, keep_blank_values=True)) == sorted(query)
    encoded = sorted((encode_component(name), encode_component(value)) for name, value in query)
    assert sent == "&".join(f"{name}={value}" for name, value in encoded)


@given(
    key=oracle.keys,
    query=st.lists(st.tuples(oracle.text.filter(bool), oracle.text), max_size=4),
)
def test_a_target_beside_the_url_is_what_is_signed(key: str, query: list[tuple[str, str]]) -> None:
    pairs = sorted((encode_component(name), encode_component(value)) for name, value in query)
    written = "&".join(f"{name}={value}" for name, value in pairs)
    target = f"/{encode_key(key)}?{written}" if query else f"/{encode_key(key)}"
    origin = httpx.URL("https://s3.example:9000")
    request = httpx.Request("GET", origin, extensions={"target": target.encode()})
    expected = oracle.signed_headers(
        "GET",
        f"https://s3.example:9000{target}",
        [("host", "s3.example:9000")],
        payload_hash=EMPTY_PAYLOAD_SHA256,
        credentials=_KEYS,
        region="eu-central-1",
        now_s=_NOW_S,
    )
    signed = _sign(request)
    assert {name: signed.headers[name] for name in expected} == expected
    assert signed.extensions["target"] == target.encode()
    assert signed.url == origin


def test_a_target_in_another_encoding_is_brought_to_the_rules_of_s3() -> None:
    target = b"/it's%20(1)*?prefix=a+b'&list-type=2"
    request = httpx.Request("GET", "https://s3.example", extensions={"target": target})
    expected = b"/it%27s%20%281%29%2A?list-type=2&prefix=a%20b%27"
    assert _sign(request).extensions["target"] == expected


def test_a_url_that_httpx_would_send_half_encoded_is_brought_to_the_rules_of_s3() -> None:
    request = _sign(httpx.Request("GET", "https://s3.example/it's (1)*?prefix=a+b'&list-type=2"))
    assert request.url.raw_path == b"/it%27s%20%281%29%2A?list-type=2&prefix=a%20b%27"
    _assert_as_botocore(request, set())


@pytest.mark.parametrize(
    ("headers", "content", "expected"),
    [
        ({}, None, EMPTY_PAYLOAD_SHA256),
        ({}, b"body", hashlib.sha256(b"body").hexdigest()),
        ({}, iter([b"body"]), UNSIGNED_PAYLOAD),
        ({"X-Amz-Content-SHA256": UNSIGNED_PAYLOAD}, b"body", UNSIGNED_PAYLOAD),
        ({"x-amz-content-sha256": "ab" * 32}, iter([b"body"]), "ab" * 32),
    ],
)
def test_the_payload_hash(headers: dict[str, str], content: bytes | None, expected: str) -> None:
    request = _sign(
        httpx.Request("PUT", "https://s3.example/key", headers=headers, content=content)
    )
    assert request.headers.get_list("x-amz-content-sha256") == [expected]
    _assert_as_botocore(request, set())


def test_what_gives_a_request_its_meaning_is_signed_and_what_a_proxy_may_alter_is_not() -> None:
    request = _sign(
        httpx.Request(
            "PUT",
            "https://s3.example/key",
            headers={
                "Content-Type": "text/plain;  charset=utf-8",
                "If-Match": '"abc"',
                "X-Amz-Meta-Name": "value",
                "User-Agent": "parparchik",
                "Accept-Encoding": "gzip",
                "Connection": "keep-alive",
            },
            content=b"body",
        )
    )
    _assert_as_botocore(request, {"content-type", "if-match", "x-amz-meta-name"})


def test_a_request_that_is_sent_again_is_signed_with_the_credentials_of_that_moment() -> None:
    identities = iter([Credentials("FIRST", "a", "token"), Credentials("SECOND", "b", "newer")])
    request = httpx.Request("GET", "https://s3.example/key")
    for name, token in (("FIRST", "token"), ("SECOND", "newer")):
        _sign(request, lambda: next(identities))
        assert len(request.headers.get_list("authorization")) == 1
        assert f"Credential={name}/" in request.headers["authorization"]
        assert request.headers.get_list("x-amz-security-token") == [token]


def test_without_credentials_nothing_is_sent() -> None:
    def none_at_hand() -> Credentials:
        raise NoCredentials("no source yields credentials")

    request = httpx.Request("GET", "https://s3.example/key")
    with pytest.raises(NoCredentials):
        _sign(request, none_at_hand)
    assert "authorization" not in request.headers
