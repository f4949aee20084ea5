"""Header signatures against botocore's and AWS's own examples; the encoding against S3's rules."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.s3.sigv4 import (
    EMPTY_PAYLOAD_SHA256,
    UNSIGNED_PAYLOAD,
    Credentials,
    canonical_query,
    encode_component,
    encode_key,
    encode_pairs,
    sign_headers,
    signing_key,
)
from tests.s3 import sigv4_oracle as oracle

# The examples of AWS, "Signature Calculations for the Authorization Header".
_EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_EXAMPLE_S = 1_369_353_600  # 20130524T000000Z
_HOST = ("Host", "examplebucket.s3.amazonaws.com")

header_names = st.from_regex(
    r"(?!date\Z)(x-meta|if|content|[a-z])(-[a-z0-9]{1,8}){1,2}", fullmatch=True
)
header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
payload_hashes = st.sampled_from([EMPTY_PAYLOAD_SHA256, UNSIGNED_PAYLOAD, "ab" * 32])


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "payload_hash", "signature"),
    [
        (
            "GET",
            "/test.txt",
            (),
            [("Range", "bytes=0-9")],
            EMPTY_PAYLOAD_SHA256,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            (),
            [
                ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "",
            [("lifecycle", "")],
            [],
            EMPTY_PAYLOAD_SHA256,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            [("prefix", "J"), ("max-keys", "2")],
            [],
            EMPTY_PAYLOAD_SHA256,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_aws(
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    payload_hash: str,
    signature: str,
) -> None:
    added = sign_headers(
        method,
        path,
        query,
        [_HOST, *headers],
        payload_hash=payload_hash,
        credentials=_EXAMPLE,
        region="us-east-1",
        now_s=_EXAMPLE_S,
    )
    assert dict(added)["authorization"].endswith(f"Signature={signature}")


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST"]),
    key=oracle.keys,
    query=st.lists(st.tuples(oracle.text, oracle.text), max_size=5),
    headers=st.lists(st.tuples(header_names, header_values), max_size=6),
    payload_hash=payload_hashes,
    credentials=oracle.credentials,
    region=oracle.regions,
    now_s=oracle.times_s,
)
def test_headers_are_signed_as_botocore_signs_them(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    payload_hash: str,
    credentials: Credentials,
    region: str,
    now_s: float,
) -> None:
    path, pairs = f"/bucket/{encode_key(key)}", encode_pairs(query)
    wire_query = "&".join(f"{name}={value}" for name, value in pairs)
    expected = oracle.signed_headers(
        method,
        f"https://s3.example:9000{path}?{wire_query}",
        headers,
        payload_hash=payload_hash,
        credentials=credentials,
        region=region,
        now_s=now_s,
    )
    added = sign_headers(
        method,
        path,
        pairs,
        [("host", "s3.example:9000"), *headers],
        payload_hash=payload_hash,
        credentials=credentials,
        region=region,
        now_s=now_s,
    )
    assert dict(added) == expected


@given(key=oracle.keys)
def test_a_key_is_encoded_once_and_comes_back(key: str) -> None:
    encoded = encode_key(key)
    assert re.fullmatch(r"(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})*", encoded)
    assert unquote(encoded, errors="strict") == key
    assert encode_key(key.encode()) == encoded
    assert "/" not in encode_component(key)


def test_a_lone_surrogate_is_no_key() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        encode_key("\ud800")


def test_a_query_is_ordered_by_its_encoded_names_and_values() -> None:
    # "é" sorts after "z" as text and before "A" as "%C3%A9".
    pairs = encode_pairs([("z", "2"), ("é", ""), ("A", "b c"), ("z", "1")])
    assert canonical_query(pairs) == "%C3%A9=&A=b%20c&z=1&z=2"


def test_headers_of_one_name_are_signed_as_a_list() -> None:
    def authorization(*headers: tuple[str, str]) -> str:
        added = sign_headers(
            "GET",
            "/",
            (),
            [_HOST, *headers],
            payload_hash=EMPTY_PAYLOAD_SHA256,
            credentials=_EXAMPLE,
            region="us-east-1",
            now_s=_EXAMPLE_S,
        )
        return dict(added)["authorization"]

    assert authorization(("X-A", "1"), ("x-a", " 2   3 ")) == authorization(("x-a", "1,2 3"))
    assert authorization(("x-a", "1")) != authorization(("x-a", "2"))


def test_a_stale_date_and_hash_among_the_headers_are_replaced() -> None:
    """A request that is sent again is signed anew, whatever its first signing left behind."""

    def sign(*left_behind: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return sign_headers(
            "GET",
            "/",
            (),
            [_HOST, *left_behind],
            payload_hash=UNSIGNED_PAYLOAD,
            credentials=_EXAMPLE,
            region="us-east-1",
            now_s=_EXAMPLE_S,
        )

    assert sign(("X-Amz-Date", "19990101T000000Z"), ("x-amz-content-sha256", "0" * 64)) == sign()


def test_credentials_do_not_print_their_secrets() -> None:
    shown = repr(Credentials("AKID", "the-secret", "the-token", 12.0))
    assert "AKID" in shown
    assert "the-secret" not in shown
    assert "the-token" not in shown


def test_the_signing_keys_that_are_remembered_are_bounded() -> None:
    for number in range(1000):
        signing_key(f"secret-{number}", "20260505", "us-east-1", "s3")
    remembered = signing_key.cache_info()
    assert remembered.maxsize is not None
    assert remembered.currsize <= remembered.maxsize <= 100
