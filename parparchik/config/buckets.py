"""The buckets, in priority order, each with the endpoint and credentials it is reached by.

They are named by PARPARCHIK_BUCKETS, or by PARPARCHIK_PUBLIC_BUCKET and PARPARCHIK_PRIVATE_BUCKET,
or by [[bucket]] tables. Where the environment names them, the tables of the same names still tell
the rest (endpoint, region, credentials). What a table does not say comes from [s3] and its
variables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from parparchik.config.document import Document
from parparchik.config.given import Given, of_table
from parparchik.config.model import BucketConfig, Endpoint, StaticKeys
from parparchik.config.settings import BUCKET_SETTINGS
from parparchik.config.values import manifest_key
from parparchik.errors import ConfigError
from parparchik.model import Bucket

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_AWS_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ANY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")

_NONE_SET = (
    "no bucket is configured: set PARPARCHIK_BUCKETS=name[:manifest-key[:public]],..., or both"
    " PARPARCHIK_PUBLIC_BUCKET and PARPARCHIK_PRIVATE_BUCKET, or write [[bucket]] tables into the"
    " file that --config or PARPARCHIK_CONFIG names"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A bucket as one of the three ways names it; `label` is what a message calls that way."""

    name: str
    public: bool
    manifest_key: str | None
    label: str


def make_buckets(given: Given, document: Document) -> tuple[tuple[BucketConfig, ...], list[str]]:
    """The buckets and warnings about them. Raises ConfigError."""
    tables = _tables(document)
    warnings: list[str] = []
    named = _from_environ(given, warnings)
    if not named:
        named = [
            _Named(n, t.get("public", False), t.get("manifest_key"), t.label("name"))
            for n, t in tables.items()
        ]
    if not named:
        raise ConfigError(_NONE_SET)
    chosen = {one.name: one for one in reversed(named)}
    for one in named:
        if chosen[one.name] is not one:
            raise ConfigError(f"{one.label}: bucket {one.name!a} is named twice")
    warnings += [
        f"{tables[name].label('name')}: {name} is not served: {named[0].label} does not name it"
        for name in tables
        if name not in chosen
    ]
    default = _default_endpoint(given)
    return tuple(_bucket(one, tables.get(one.name), given, default) for one in named), warnings


def parse_bucket_list(listed: str) -> list[tuple[str, str | None, str]]:
    """Name, manifest key and flag of each bucket in `name[:manifest-key[:public]],...`.

    An empty manifest key is None. Raises ValueError.
    """
    buckets: list[tuple[str, str | None, str]] = []
    for item in listed.split(","):
        name, *rest = (part.strip() for part in item.split(":"))
        if not name and not rest:
            continue  # a comma too many
        if len(rest) > 2:
            raise ValueError("expected name[:manifest-key[:public]],...")
        key, flag = [*rest, "", ""][:2]
        buckets.append((name, manifest_key(key) if key else None, flag))
    return buckets


def _from_environ(given: Given, warnings: list[str]) -> list[_Named]:
    pair = ("PARPARCHIK_PUBLIC_BUCKET", "PARPARCHIK_PRIVATE_BUCKET")
    label = "PARPARCHIK_BUCKETS"
    if label in given:
        warnings += [f"{name} is ignored: {label} is set" for name in pair if name in given]
        try:
            items = parse_bucket_list(given.get(label))
        except ValueError as error:
            raise ConfigError(f"{label}: {error}") from None
        warnings += [
            f"{label}: {name} is private: only `public` in third place makes a bucket public"
            for name, _, flag in items
            if flag not in ("", "public", "private")
        ]
        return [_Named(name, flag == "public", key, label) for name, key, flag in items]
    for name, other in (pair, pair[::-1]):
        if name in given and other not in given:
            raise ConfigError(f"{other} is not set, and {name} is: set both, or {label}")
    return [_Named(given.get(n), n == pair[0], None, n) for n in pair if n in given]


def _tables(document: Document) -> dict[str, Given]:
    tables: dict[str, Given] = {}
    for number, table in enumerate(document.buckets, 1):
        given = of_table(table, BUCKET_SETTINGS, document)
        if "name" not in given:
            raise ConfigError(f"{document.file}: [[bucket]] number {number} has no name")
        if given.get("name") in tables:
            raise ConfigError(f"{given.label('name')}: {given.get('name')!a} is named twice")
        tables[given.get("name")] = given
    return tables


def _default_endpoint(given: Given) -> Endpoint:
    """What buckets have in common. Credentials that the environment holds are not in it: they are
    the credential chain's to read, and they win over those of the file."""
    if ("AWS_ACCESS_KEY_ID" in _labels(given)) != ("AWS_SECRET_ACCESS_KEY" in _labels(given)):
        raise ConfigError("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set")
    plain, from_file = Endpoint(), given.from_file()
    in_environ = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & _labels(given)
    return Endpoint(
        region=given.get("s3.region", plain.region),
        url=given.get("s3.endpoint") or None,
        external_url=given.get("s3.external_endpoint") or None,
        addressing=given.get("s3.addressing", plain.addressing),
        keys=None if in_environ else _keys(from_file, "s3."),
        profile=None if in_environ else from_file.get("s3.profile"),
    )


def _labels(given: Given) -> set[str]:
    return {given.label(name) for name in given}


def _keys(given: Given, prefix: str = "") -> StaticKeys | None:
    key_id, secret = f"{prefix}access_key_id", f"{prefix}secret_access_key"
    token, profile = f"{prefix}session_token", f"{prefix}profile"
    for name, needed in ((key_id, secret), (secret, key_id), (token, key_id)):
        if name in given and needed not in given:
            raise ConfigError(f"{given.label(name)} needs {needed.rpartition('.')[2]} beside it")
    if key_id not in given:
        return None
    if profile in given:
        raise ConfigError(f"{given.label(profile)}: either a profile or keys, not both")
    return StaticKeys(given.get(key_id), given.get(secret), given.get(token))


def _bucket(named: _Named, table: Given | None, given: Given, default: Endpoint) -> BucketConfig:
    endpoint = default if table is None else _endpoint(table, default)
    own_key = table.get("manifest_key") if table is not None else None
    key = named.manifest_key or own_key or given.get("routes.manifest_key")
    _check_name(named, endpoint)
    bucket = Bucket(named.name, public=named.public)
    return BucketConfig(replace(bucket, manifest_key=key) if key else bucket, endpoint)


def _endpoint(table: Given, default: Endpoint) -> Endpoint:
    """A bucket with an endpoint of its own does not send clients to everyone else's."""
    own = "endpoint" in table
    keys, profile = _keys(table), table.get("profile")
    inherits = keys is None and profile is None
    external = table.get("external_endpoint", None if own else default.external_url)
    return Endpoint(
        region=table.get("region", default.region),
        url=(table.get("endpoint") or None) if own else default.url,
        external_url=external or None,
        addressing=table.get("addressing", default.addressing),
        keys=default.keys if inherits else keys,
        profile=default.profile if inherits else profile,
    )


def _check_name(named: _Named, endpoint: Endpoint) -> None:
    """AWS's rules at AWS; elsewhere older servers allow capitals, underscores and longer names."""
    aws = endpoint.url is None
    allowed = _AWS_NAME if aws else _ANY_NAME
    if not allowed.fullmatch(named.name) or (aws and _looks_like_an_address(named.name)):
        rule = (
            "AWS wants 3 to 63 of a-z, 0-9, '-' and '.' (another S3 server is set by S3_ENDPOINT)"
            if aws
            else "expected letters, digits, '-', '_' and '.'"
        )
        raise ConfigError(f"{named.label}: {named.name[:60]!a} is no bucket name: {rule}")


def _looks_like_an_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except ValueError:
        return False
    return True
