"""Where a bucket is: which host to connect to and which path a key has there.

S3 addresses a bucket in one of two ways: *path style*, `https://host/bucket/key`, which works
everywhere, and *virtual host*, `https://bucket.host/key`, which AWS asks for and which a bucket's
name can spoil (a dot in it breaks the certificate's wildcard). Redirects and presigned URLs use
the same rules on the external endpoint, so that the host that gets signed is the host that
clients will name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from parparchik.config import Endpoint
from parparchik.errors import BadTarget, ConfigError
from parparchik.s3.sigv4 import canonical_query, encode_key

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

# AWS's partitions by the beginning of their regions' names; the last one is the rest of the world.
_AWS_DOMAINS = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("", "amazonaws.com"),
)


def aws_domain(region: str) -> str:
    """The domain that AWS's endpoints in `region` are in."""
    return next(domain for prefix, domain in _AWS_DOMAINS if region.startswith(prefix))


class Origin(NamedTuple):
    """What a connection leads to. `host` is lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The Host header: brackets around IPv6, no default port (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Address:
    """One bucket at one endpoint. `base_path` is what stands before each key: encoded, '' or with
    a leading slash and without a trailing one."""

    origin: Origin
    base_path: str

    @property
    def bucket_path(self) -> str:
        """The path of requests about the bucket itself."""
        return self.base_path or "/"

    def path(self, key: str) -> str:
        """The one encoding of a key's path: on the wire, in signatures and in URLs alike."""
        return f"{self.base_path}/{encode_key(key)}"

    def url(self, key: str) -> str:
        return f"{self.origin}{self.path(key)}"


def target_of(path: str, query: Sequence[tuple[str, str]] = ()) -> str:
    """Of what is encoded. Raises BadTarget for a path that means another one to who reads it as
    RFC 3986 section 5.2.4 says: many a proxy before S3."""
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        raise BadTarget("a key with a segment '.' or '..' cannot be asked for")
    return f"{path}?{canonical_query(query)}" if query else path


def internal_address(bucket: str, endpoint: Endpoint) -> Address:
    """Where we ask for the bucket's objects. ConfigError where the style cannot work."""
    if endpoint.url is None:
        return _aws_address(bucket, endpoint)
    return _custom_address(bucket, endpoint.url, endpoint)


def external_address(bucket: str, endpoint: Endpoint) -> Address:
    """Where clients are sent for the bucket's objects. ConfigError where the style cannot work."""
    if endpoint.external_url is None:
        return internal_address(bucket, endpoint)
    return _custom_address(bucket, endpoint.external_url, endpoint)


def _aws_address(bucket: str, endpoint: Endpoint) -> Address:
    host = f"s3.{endpoint.region}.{aws_domain(endpoint.region)}"
    virtual = endpoint.addressing == "virtual" or (
        endpoint.addressing == "auto" and _DNS_LABEL.fullmatch(bucket) is not None
    )
    return _address(bucket, Origin("https", host, 443), "", virtual=virtual)


def _custom_address(bucket: str, url: str, endpoint: Endpoint) -> Address:
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ConfigError(f"not an S3 endpoint: {url!r}; S3_ENDPOINT is a URL or host:port")
    origin = Origin(parts.scheme, host, parts.port or _DEFAULT_PORTS[parts.scheme])
    virtual = endpoint.addressing == "virtual"
    return _address(bucket, origin, parts.path.rstrip("/"), virtual=virtual)


def _address(bucket: str, origin: Origin, prefix: str, *, virtual: bool) -> Address:
    if not virtual:
        return Address(origin, f"{prefix}/{encode_key(bucket)}")
    if _is_ip(origin.host):
        raise ConfigError(
            f"bucket {bucket!r} cannot be a host name below the address {origin.host}: "
            "set PARPARCHIK_ADDRESSING=path"
        )
    return Address(origin._replace(host=f"{bucket}.{origin.host}"), prefix)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
