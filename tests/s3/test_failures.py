"""What rejections mean, where the client's tests do not say it already."""

from __future__ import annotations

import ssl

import httpx
import pytest

from parparchik.errors import Overloaded, Unavailable, UpstreamError, WrongRegion
from parparchik.s3.failures import Rejection, error_of, unreachable
from parparchik.s3.response import Reply
from parparchik.s3.retry import Transient

NOW_S = 1_777_975_200  # Tue, 05 May 2026 10:00:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7),
        (b" 7 ", 7),
        (b"Tue, 05 May 2026 10:00:30 GMT", 30),
        (b"Tue, 05 May 2026 09:00:00 GMT", 0),
        (b"soon", None),
        (b"-1", None),
        (b"1.5", None),
        (b"9" * 5000, None),
        (b"\xff", None),
    ],
)
def test_retry_after(value: bytes, seconds: int | None) -> None:
    rejection = Rejection.of(Reply(503, {b"retry-after": value}), now_s=NOW_S)
    assert rejection.retry_after_s == seconds
    error = error_of(rejection, "get", "b", "us-east-1")
    assert isinstance(error, Transient)
    assert error.asked is (seconds is not None)
    assert error.retry_after_s == (1 if seconds is None else seconds)


def test_the_region_that_was_asked_is_not_suggested() -> None:
    """AWS sends x-amz-bucket-region with every HeadBucket, and 400 for other reasons, too."""
    rejection = Rejection(400, region="eu-west-1")
    error = error_of(rejection, "head", "b", "eu-west-1")
    assert not isinstance(error, WrongRegion)


def test_a_404_to_a_listing_is_no_bucket_only_if_s3_says_so() -> None:
    assert type(error_of(Rejection(404), "list", "b", "r")) is UpstreamError


@pytest.mark.parametrize(
    "location", ["", "/relative", "//", "http://[", "javascript:alert(1)", "http://u:p@h/"]
)
def test_odd_redirects(location: str) -> None:
    rejection = Rejection.of(Reply(302, {b"location": location.encode()}), now_s=NOW_S)
    message = str(error_of(rejection, "get", "b", "r"))
    assert "S3_ENDPOINT" in message
    assert not location or location not in message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("x"), Transient),
        (httpx.ConnectTimeout("x"), Transient),
        (httpx.ReadTimeout("x"), Transient),
        (httpx.RemoteProtocolError("x"), Transient),
        (httpx.PoolTimeout("x"), Overloaded),
        (httpx.TooManyRedirects("x"), UpstreamError),
    ],
)
def test_no_answer(error: httpx.HTTPError, kind: type[UpstreamError]) -> None:
    assert type(unreachable(error, "get", "b")) is kind


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    error = httpx.ConnectError("its certificate is not trusted")
    error.__cause__ = httpx.ReadError("x")
    error.__cause__.__cause__ = ssl.SSLCertVerificationError("x")
    found = unreachable(error, "get", "b")
    assert isinstance(found, Unavailable)
    assert not isinstance(found, Transient)
    assert "AWS_CA_BUNDLE" in str(found)
