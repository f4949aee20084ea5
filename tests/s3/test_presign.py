"""Presigned URLs against botocore's and AWS's own example."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.s3.presign import MAX_EXPIRES_S, Presigner, presign_url
from parparchik.s3.sigv4 import Credentials, encode_key, encode_pairs
from tests.s3 import sigv4_oracle as oracle

_KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_ORIGINS = [
    "https://bucket.s3.eu-central-1.amazonaws.com",
    "http://127.0.0.1:9000",
    "https://s3.example:443",
    "http://s3.example:80",
    "http://s3.example:443",
    "https://S3.Example",
    "http://[::1]:9000",
    "http://[::1]",
]


def test_the_example_of_aws() -> None:
    """AWS, "Authenticating Requests: Using Query Parameters", to the letter."""
    url = presign_url(
        "GET",
        "https://examplebucket.s3.amazonaws.com",
        "/test.txt",
        credentials=_KEYS,
        region="us-east-1",
        now_s=1_369_353_600,
        expires_s=86_400,
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT"]),
    origin=st.sampled_from(_ORIGINS),
    key=oracle.keys,
    query=st.dictionaries(oracle.text.filter(bool), oracle.text, max_size=4),
    credentials=oracle.credentials,
    region=oracle.regions,
    now_s=oracle.times_s,
    expires_s=st.integers(1, MAX_EXPIRES_S),
)
def test_urls_are_signed_as_botocore_signs_them(
    method: str,
    origin: str,
    key: str,
    query: dict[str, str],
    credentials: Credentials,
    region: str,
    now_s: float,
    expires_s: int,
) -> None:
    path, pairs = f"/{encode_key(key)}", encode_pairs(query.items())
    wire_query = "&".join(f"{name}={value}" for name, value in pairs)
    expected = oracle.presigned_query(
        method,
        f"{origin}{path}?{wire_query}",
        credentials=credentials,
        region=region,
        now_s=now_s,
        expires_s=expires_s,
    )
    url = presign_url(
        method,
        origin,
        path,
        credentials=credentials,
        region=region,
        now_s=now_s,
        expires_s=expires_s,
        query=pairs,
    )
    assert oracle.query_of(url) == expected
    assert url.partition("?")[0] == origin + path


@given(
    keys=st.lists(oracle.keys, min_size=2, max_size=2),
    lives_s=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    times_s=st.lists(st.sampled_from([86_399.9, 86_400, 86_401]), min_size=2, max_size=2),
    identities=st.lists(
        st.sampled_from([_KEYS, Credentials("AKID", "b"), Credentials("AKID", "b", "token")]),
        min_size=2,
        max_size=2,
    ),
)
def test_a_presigner_remembers_nothing_of_the_last_url(
    keys: list[str], lives_s: list[int], times_s: list[float], identities: list[Credentials]
) -> None:
    presigner = Presigner("https://s3.example", "us-east-1")
    for key, life_s, time_s, identity in zip(keys, lives_s, times_s, identities, strict=True):
        path = f"/{encode_key(key)}"
        url = presigner.url("GET", path, credentials=identity, now_s=time_s, expires_s=life_s)
        assert oracle.query_of(url) == oracle.presigned_query(
            "GET",
            f"https://s3.example{path}",
            credentials=identity,
            region="us-east-1",
            now_s=time_s,
            expires_s=life_s,
        )


@pytest.mark.parametrize("expires_s", [0, -1, MAX_EXPIRES_S + 1])
def test_a_life_that_s3_would_refuse(expires_s: int) -> None:
    with pytest.raises(ValueError, match=str(MAX_EXPIRES_S)):
        presign_url(
            "GET",
            "https://s3.example",
            "/key",
            credentials=_KEYS,
            region="us-east-1",
            now_s=0,
            expires_s=expires_s,
        )


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "s3.example",
        "s3.example:9000",
        "ftp://s3.example",
        "https://",
        "https://s3.example/",
        "https://s3.example/below",
        "https://s3.example?query",
        "https://s3.example#fragment",
        "https://s3.example:port",
        "https://user:hunter2@s3.example",
        "https://user:hunter2@s3.example/below",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Presigner(origin, "us-east-1")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("origin", _ORIGINS)
def test_the_signed_host_is_the_one_that_clients_send(origin: str) -> None:
    host = Presigner(origin, "us-east-1").host
    parts = urlsplit(f"//{host}")
    assert parts.hostname == urlsplit(origin).hostname
    default_port = {"http": 80, "https": 443}[urlsplit(origin).scheme]
    assert parts.port == (None if urlsplit(origin).port == default_port else urlsplit(origin).port)
