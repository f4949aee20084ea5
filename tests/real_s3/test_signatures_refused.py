"""Signatures that must be refused; each test also shows that the right one is accepted."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from parparchik.s3.sigv4 import EMPTY_PAYLOAD_SHA256, Credentials
from tests.real_s3.rgw import Rgw
from tests.real_s3.signing import assert_refused, presign, sign, url_of

pytestmark = pytest.mark.real_s3


Tamper = Callable[[str], str]


@pytest.fixture(scope="module")
def bucket(rgw: Rgw) -> str:
    """A bucket that holds `file` and `other`."""
    return rgw.create_bucket({"file": b"content", "other": b"other"})


def test_a_body_of_another_hash_is_refused(rgw: Rgw, http: httpx.Client, bucket: str) -> None:
    url = url_of(rgw, bucket, "other-hash")
    headers = {"x-amz-content-sha256": EMPTY_PAYLOAD_SHA256}
    refused = http.put(url, content=b"not empty", headers=headers, auth=sign(rgw))
    assert_refused(refused, "XAmzContentSHA256Mismatch", 400)
    assert http.head(url, auth=sign(rgw)).status_code == 404


def _other_signature(url: str) -> str:
    return url[:-1] + ("0" if url[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        pytest.param(_other_signature, "SignatureDoesNotMatch", id="signature"),
        pytest.param(lambda u: u.partition("?")[0], "AccessDenied", id="no signature"),
        pytest.param(lambda u: u.replace("/file?", "/other?"), "SignatureDoesNotMatch", id="key"),
        pytest.param(lambda u: u + "&versionId=null", "SignatureDoesNotMatch", id="added query"),
        pytest.param(
            lambda u: u + "&response-content-type=text%2Fhtml",
            "SignatureDoesNotMatch",
            id="added response header",
        ),
        pytest.param(
            lambda u: u.replace("Expires=60&", "Expires=6000&"),
            "SignatureDoesNotMatch",
            id="longer life",
        ),
        pytest.param(
            lambda u: u.replace("%2Fus-east-1%2F", "%2Fus-east-2%2F"),
            "SignatureDoesNotMatch",
            id="region",
        ),
        pytest.param(
            lambda u: u.replace("=OWNERACCESSKEY", "=GUESTACCESSKEY"),
            "SignatureDoesNotMatch",
            id="other user",
        ),
        pytest.param(
            lambda u: u.replace("=OWNERACCESSKEY", "=NOBODYSACCESSKEY"),
            "InvalidAccessKeyId",
            id="nobody",
        ),
    ],
)
def test_a_url_that_was_tampered_with_is_refused(
    rgw: Rgw, http: httpx.Client, bucket: str, tamper: Tamper, code: str
) -> None:
    url = presign(rgw, "GET", bucket, "file")
    assert http.get(url).content == b"content"
    assert tamper(url) != url
    assert_refused(http.get(tamper(url)), code)


@pytest.mark.parametrize("signed", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("used", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_url_is_good_for_its_own_method_alone(
    rgw: Rgw, http: httpx.Client, bucket: str, signed: str, used: str
) -> None:
    with rgw.client() as boto:
        boto.put_object(Bucket=bucket, Key="by-method", Body=b"x")
    response = http.request(used, presign(rgw, signed, bucket, "by-method"))
    assert response.is_success == (signed == used)
    assert response.is_success or response.status_code == 403


def test_a_url_expires(rgw: Rgw, http: httpx.Client, bucket: str) -> None:
    alive = presign(rgw, "GET", bucket, "file", age_s=60, expires_s=120)
    assert http.get(alive).content == b"content"
    expired = presign(rgw, "GET", bucket, "file", age_s=60, expires_s=50)
    assert_refused(http.get(expired), "AccessDenied")
    skewed = presign(rgw, "GET", bucket, "file", age_s=1200, expires_s=60)
    assert_refused(http.get(skewed), "AccessDenied")


def test_a_url_of_the_wrong_secret(rgw: Rgw, http: httpx.Client, bucket: str) -> None:
    wrong = Credentials(rgw.owner.access_key_id, rgw.guest.secret_access_key)
    refused = http.get(presign(rgw, "GET", bucket, "file", credentials=wrong))
    assert_refused(refused, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("range", "bytes=3-4"),
        ("x-amz-meta-note", "changed"),
        ("x-amz-date", "20260101T000000Z"),
        ("x-amz-content-sha256", "ab" * 32),
        ("host", "elsewhere.example"),
    ],
)
def test_a_signed_header_that_was_changed_is_refused(
    rgw: Rgw, http: httpx.Client, bucket: str, name: str, value: str
) -> None:
    def signed() -> httpx.Request:
        headers = {"Range": "bytes=0-1", "X-Amz-Meta-Note": "as signed"}
        request = http.build_request("GET", url_of(rgw, bucket, "file"), headers=headers)
        return next(sign(rgw).sync_auth_flow(request))

    assert http.send(signed()).content == b"co"
    altered = signed()
    assert altered.headers[name] != value
    altered.headers[name] = value
    assert http.send(altered).status_code == 403


@pytest.mark.parametrize("skew_s", [-1200, 1200])
def test_twenty_minutes_of_skew_are_refused(
    rgw: Rgw, http: httpx.Client, bucket: str, skew_s: float
) -> None:
    url = url_of(rgw, bucket, "file")
    assert http.get(url, auth=sign(rgw, skew_s=skew_s / 4)).content == b"content"
    assert_refused(http.get(url, auth=sign(rgw, skew_s=skew_s)), "RequestTimeTooSkewed")


def test_signed_headers_of_the_wrong_secret_or_nobody(
    rgw: Rgw, http: httpx.Client, bucket: str
) -> None:
    url = url_of(rgw, bucket, "file")
    wrong = Credentials(rgw.owner.access_key_id, rgw.guest.secret_access_key)
    assert_refused(http.get(url, auth=sign(rgw, wrong)), "SignatureDoesNotMatch")
    nobody = Credentials("NOBODYSACCESSKEY0001", rgw.owner.secret_access_key)
    assert_refused(http.get(url, auth=sign(rgw, nobody)), "InvalidAccessKeyId")
