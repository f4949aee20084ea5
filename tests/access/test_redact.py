"""URLs as they may be logged."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.access import redact_url

SECRET = "f00dfeedf00dfeed"
SECRET_NAMES = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "x-amz-signature",
    "Signature",
    "api_key",
    "apikey",
    "X-API-Key",
    "access_token",
    "password",
    "client_secret",
    "Authorization",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("url", ["/b/k?{}={}", "http://h/b/k?a=1&{}={}&b=2", "/b?x?{}={}#f"])
def test_secret_parameters_lose_their_value(url: str, name: str) -> None:
    redacted = redact_url(url.format(name, SECRET).encode())
    assert SECRET not in redacted
    assert name in redacted
    assert redacted.startswith(url.partition("?")[0])


@given(st.sampled_from(SECRET_NAMES), st.data())
def test_no_percent_encoding_of_the_name_hides_it(name: str, data: st.DataObject) -> None:
    encoded = "".join(
        f"%{ord(c):02x}" if data.draw(st.booleans()) else quote(c, safe="") for c in name
    )
    assert SECRET not in redact_url(f"/b/k?{encoded}={SECRET}".encode())


@pytest.mark.parametrize(
    "url",
    [
        "/list?sync=true",
        "/update?filename=a/b%20c",
        "/b/k",
        "/b/k?",
        "/b/k?&&=&x",
        "/b/k?versionId=1",
    ],
)
def test_everything_else_stays(url: str) -> None:
    assert redact_url(url.encode()) == url


@given(st.binary(max_size=200))
def test_any_bytes_give_printable_ascii_or_less(url: bytes) -> None:
    assert redact_url(url).isascii()
