"""Signatures of ours that a server which checks them must accept."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.s3.sigv4 import UNSIGNED_PAYLOAD
from parparchik.s3.xml import parse_list_page
from tests.real_s3.odd_keys import ODD_KEYS
from tests.real_s3.rgw import Rgw
from tests.real_s3.signing import presign, sign, url_of

pytestmark = pytest.mark.real_s3


@pytest.fixture(scope="module")
def bucket(rgw: Rgw) -> str:
    """A bucket that holds `file`, and what the tests write."""
    return rgw.create_bucket({"file": b"content"})


@pytest.fixture(scope="module")
def odd_bucket(rgw: Rgw) -> str:
    """A bucket that holds every odd key; each object's content is its key."""
    return rgw.create_bucket({key: key.encode() for key in ODD_KEYS.values()})


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
def test_signed_headers_are_accepted(
    rgw: Rgw, http: httpx.Client, odd_bucket: str, bucket: str, key: str
) -> None:
    read = url_of(rgw, odd_bucket, key)
    assert http.get(read, auth=sign(rgw)).content == key.encode()
    assert http.head(read, auth=sign(rgw)).status_code == 200
    written = url_of(rgw, bucket, key)
    assert http.put(written, content=b"new", auth=sign(rgw)).status_code == 200
    with rgw.client() as boto:
        assert boto.get_object(Bucket=bucket, Key=key)["Body"].read() == b"new"
    assert http.delete(written, auth=sign(rgw)).status_code == 204


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
def test_presigned_urls_are_accepted(
    rgw: Rgw, http: httpx.Client, odd_bucket: str, bucket: str, key: str
) -> None:
    assert http.get(presign(rgw, "GET", odd_bucket, key)).content == key.encode()
    assert http.head(presign(rgw, "HEAD", odd_bucket, key)).status_code == 200
    assert http.put(presign(rgw, "PUT", bucket, key), content=b"new").status_code == 200
    with rgw.client() as boto:
        assert boto.get_object(Bucket=bucket, Key=key)["Body"].read() == b"new"
    assert http.delete(presign(rgw, "DELETE", bucket, key)).status_code == 204


@settings(max_examples=150, deadline=None)
@given(
    # Segments of dots are no keys of ours. RGW takes no control characters.
    key=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200).filter(
        lambda key: not {".", ".."} & set(key.split("/"))
    )
)
def test_any_key_is_signed_so_that_only_its_absence_is_answered(
    rgw: Rgw, http: httpx.Client, bucket: str, key: str
) -> None:
    """The owner learns of a key that is not there; a wrong signature would be 403."""
    absent = f"absent/{key}"
    assert http.head(url_of(rgw, bucket, absent), auth=sign(rgw)).status_code == 404
    assert http.head(presign(rgw, "HEAD", bucket, absent)).status_code == 404


def test_a_listing_is_accepted_page_by_page_and_returns_every_odd_key(
    rgw: Rgw, http: httpx.Client, odd_bucket: str
) -> None:
    found: list[str] = []
    params = {"list-type": "2", "encoding-type": "url", "max-keys": "4"}
    while True:
        response = http.get(url_of(rgw, odd_bucket), params=params, auth=sign(rgw))
        page = parse_list_page(response.content)
        found += [listed.key for listed in page.objects]
        if page.next_token is None:
            break
        params["continuation-token"] = page.next_token
    assert found == sorted(ODD_KEYS.values(), key=str.encode)


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
def test_a_listing_by_prefix_is_accepted(
    rgw: Rgw, http: httpx.Client, odd_bucket: str, key: str
) -> None:
    query = {"list-type": "2", "encoding-type": "url", "prefix": key}
    expected = sorted(
        (other for other in ODD_KEYS.values() if other.startswith(key)), key=str.encode
    )
    for response in (
        http.get(url_of(rgw, odd_bucket), params=query, auth=sign(rgw)),
        http.get(presign(rgw, "GET", odd_bucket, query=query)),
    ):
        page = parse_list_page(response.content)
        assert [listed.key for listed in page.objects] == expected
        with rgw.client() as boto:
            head = boto.head_object(Bucket=odd_bucket, Key=expected[0])
        first = page.objects[0].head
        assert first.size_bytes == head["ContentLength"]
        assert first.last_modified_s == int(head["LastModified"].timestamp())
        assert first.etag == head["ETag"]


def test_signed_headers_arrive(rgw: Rgw, http: httpx.Client, bucket: str) -> None:
    headers = {"Content-Type": "text/x;  a=b", "X-Amz-Meta-Note": "two   spaces"}
    url = url_of(rgw, bucket, "with-headers")
    assert http.put(url, content=b"x", headers=headers, auth=sign(rgw)).status_code == 200
    answer = http.head(url, auth=sign(rgw))
    assert answer.headers["content-type"].startswith("text/x")
    assert answer.headers["x-amz-meta-note"].split() == ["two", "spaces"]


def test_query_parameters_that_were_signed_are_honoured(
    rgw: Rgw, http: httpx.Client, bucket: str
) -> None:
    query = {"response-content-disposition": 'attachment; filename="a b+ž.txt"'}
    answer = http.get(presign(rgw, "GET", bucket, "file", query=query))
    assert answer.content == b"content"
    assert answer.headers["content-disposition"].startswith('attachment; filename="a b+')


def test_a_body_may_go_unsigned(rgw: Rgw, http: httpx.Client, bucket: str) -> None:
    url = url_of(rgw, bucket, "unsigned")
    streamed = http.put(
        url, content=iter([b"in ", b"pieces"]), headers={"Content-Length": "9"}, auth=sign(rgw)
    )
    assert streamed.status_code == 200
    assert streamed.request.headers["x-amz-content-sha256"] == UNSIGNED_PAYLOAD
    assert http.get(url, auth=sign(rgw)).content == b"in pieces"


def test_a_header_that_a_proxy_may_alter_is_not_signed(
    rgw: Rgw, http: httpx.Client, bucket: str
) -> None:
    request = http.build_request("GET", url_of(rgw, bucket, "file"))
    signed = next(sign(rgw).sync_auth_flow(request))
    signed.headers["user-agent"] = "a proxy"
    signed.headers["accept-encoding"] = "identity"
    assert http.send(signed).content == b"content"
