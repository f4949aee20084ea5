"""Host and path of a bucket, held against botocore's."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config as BotoConfig
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config.model import AddressingStyle, Endpoint
from parparchik.errors import ConfigError
from parparchik.s3.addressing import Origin, external_address, internal_address


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        (Endpoint(region="eu-west-1"), "files", "https://files.s3.eu-west-1.amazonaws.com/k"),
        (Endpoint(region="eu-west-1"), "a.b", "https://s3.eu-west-1.amazonaws.com/a.b/k"),
        (Endpoint(region="us-east-1"), "Old_Name", "https://s3.us-east-1.amazonaws.com/Old_Name/k"),
        (
            Endpoint(region="eu-west-1", addressing="path"), "files",
            "https://s3.eu-west-1.amazonaws.com/files/k",
        ),
        (Endpoint(url="http://10.0.0.5:9000"), "files", "http://10.0.0.5:9000/files/k"),
        (Endpoint(url="http://[::1]:9000"), "files", "http://[::1]:9000/files/k"),
        (Endpoint(url="https://s3.example.com:443"), "files", "https://s3.example.com/files/k"),
        (Endpoint(url="http://s3.example.com:80"), "files", "http://s3.example.com/files/k"),
        (Endpoint(url="https://S3.example.com"), "files", "https://s3.example.com/files/k"),
        (Endpoint(url="https://example.com/s3"), "files", "https://example.com/s3/files/k"),
        (
            Endpoint(url="https://s3.example.com:8443", addressing="virtual"), "files",
            "https://files.s3.example.com:8443/k",
        ),
    ],
)  # fmt: skip
def test_url(endpoint: Endpoint, bucket: str, url: str) -> None:
    assert internal_address(bucket, endpoint).url("k") == url
    assert external_address(bucket, endpoint).url("k") == url


def test_clients_are_sent_to_the_external_endpoint() -> None:
    endpoint = Endpoint(url="http://minio:9000", external_url="https://files.example.com")
    assert internal_address("b", endpoint).url("k") == "http://minio:9000/b/k"
    assert external_address("b", endpoint).url("k") == "https://files.example.com/b/k"


def test_a_bucket_cannot_be_a_host_below_an_address() -> None:
    for url in ("http://127.0.0.1:9000", "http://[::1]"):
        with pytest.raises(ConfigError, match="PARPARCHIK_ADDRESSING"):
            internal_address("b", Endpoint(url=url, addressing="virtual"))


@pytest.mark.parametrize("url", ["s3.example.com", "ftp://s3.example.com", "http://"])
def test_what_is_no_endpoint_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="S3_ENDPOINT"):
        internal_address("b", Endpoint(url=url))


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "h", 80), "h"),
        (Origin("http", "h", 443), "h:443"),
        (Origin("https", "h", 443), "h"),
        (Origin("https", "h", 80), "h:80"),
        (Origin("http", "::1", 80), "[::1]"),
        (Origin("http", "::1", 81), "[::1]:81"),
    ],
)
def test_host_header(origin: Origin, authority: str) -> None:
    assert origin.authority == authority
    assert str(origin) == f"{origin.scheme}://{authority}"


class _SentTo(Exception):
    """Raised in place of sending."""


def boto_urls(region: str, style: AddressingStyle, buckets: tuple[str, ...]) -> list[str]:
    """Where botocore would send a GET for each bucket's `a/k`."""

    def stop(request: AWSPreparedRequest, **_: object) -> None:
        raise _SentTo(request.url)

    client = botocore.session.get_session().create_client(
        "s3",
        region_name=region,
        config=BotoConfig(
            signature_version=UNSIGNED,
            s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},
        ),
    )
    client.meta.events.register("before-send.s3", stop)
    urls = []
    for bucket in buckets:
        with pytest.raises(_SentTo) as caught:
            client.get_object(Bucket=bucket, Key="a/k")
        urls.append(str(caught.value))
    client.close()
    return urls


@pytest.mark.parametrize("style", ["auto", "path"])
@pytest.mark.parametrize(
    "region",
    ["us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1",
     "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "eusc-de-east-1"],
)  # fmt: skip
def test_as_botocore_has_it(region: str, style: AddressingStyle) -> None:
    buckets = ("files", "my-files-2", "with.dots")
    endpoint = Endpoint(region=region, addressing=style)
    ours = [internal_address(bucket, endpoint).url("a/k") for bucket in buckets]
    assert ours == boto_urls(region, style, buckets)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_key_survives_its_path(key: str) -> None:
    path = internal_address("b", Endpoint(url="http://h")).path(key)
    assert path.isascii()
    assert unquote(urlsplit(f"http://h{path}").path) == f"/b/{key}"


def test_path_of_the_bucket_itself() -> None:
    assert internal_address("b", Endpoint(url="http://h")).bucket_path == "/b"
    assert internal_address("b", Endpoint(region="eu-west-1")).bucket_path == "/"
