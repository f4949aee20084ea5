"""What the gateway lets whom do: the ground that other tests stand on."""

from __future__ import annotations

import httpx
import pytest

from tests.real_s3.rgw import Rgw
from tests.real_s3.signing import sign, url_of

pytestmark = pytest.mark.real_s3


def test_a_missing_key_is_403_for_who_may_not_list_and_404_for_who_may(
    rgw: Rgw, http: httpx.Client
) -> None:
    bucket = rgw.create_bucket({"file": b"content"})
    guest = sign(rgw, rgw.guest.credentials)
    assert http.head(url_of(rgw, bucket, "file"), auth=guest).status_code == 403
    rgw.allow(bucket, "s3:GetObject")
    assert http.head(url_of(rgw, bucket, "file"), auth=guest).status_code == 200
    assert http.head(url_of(rgw, bucket, "missing"), auth=guest).status_code == 403
    rgw.allow(bucket, "s3:GetObject", "s3:ListBucket")
    assert http.head(url_of(rgw, bucket, "missing"), auth=guest).status_code == 404


def test_a_public_bucket_is_read_without_credentials(rgw: Rgw, http: httpx.Client) -> None:
    bucket = rgw.create_public_bucket({"a b": b"content"})
    assert http.get(url_of(rgw, bucket, "a b")).content == b"content"
    assert http.put(url_of(rgw, bucket, "a b"), content=b"").status_code == 403


def test_the_gateway_can_go_away_hang_and_come_back(rgw: Rgw, http: httpx.Client) -> None:
    bucket = rgw.create_public_bucket({"file": b"content"})
    with rgw.gateway.hung(), pytest.raises(httpx.ReadTimeout):
        http.get(url_of(rgw, bucket, "file"), timeout=0.3)
    rgw.gateway.stop_radosgw()
    with pytest.raises(httpx.ConnectError):
        http.get(url_of(rgw, bucket, "file"))
    rgw.gateway.start_radosgw()
    assert http.get(url_of(rgw, bucket, "file")).content == b"content"
