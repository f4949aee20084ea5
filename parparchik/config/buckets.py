"""The buckets, in priority order, each with the endpoint and credentials it is reached by.

They are named by PARPARCHIK_BUCKETS, or by PARPARCHIK_PUBLIC_BUCKET and PARPARCHIK_PRIVATE_BUCKET,
or by [[bucket]] tables. Where the environment names them, the tables of the same names still tell
the rest (endpoint, region, credentials). What a table does not say comes from [s3] and its
variables. Buckets that only a site or the object gateway names have no routes, and need no table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from parparchik.config.document import Document
from parparchik.config.given import Given, of_table
from parparchik.config.model import BucketConfig, BucketMode, Endpoint, StaticKeys
from parparchik.config.table_settings import BUCKET_SETTINGS
from parparchik.config.values import manifest_key
from parparchik.errors import ConfigError
from parparchik.model import Bucket

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_AWS_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ANY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")

_NONE_SET = (
    "no bucket is configured: set PARPARCHIK_BUCKETS=name[:manifest-key[:public]],..., or both"
    " PARPARCHIK_PUBLIC_BUCKET and PARPARCHIK_PRIVATE_BUCKET, or write [[bucket]] or [[site]]"
    " tables into the file that --config or PARPARCHIK_CONFIG names"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A bucket as one of the three ways names it; `label` is what a message calls that way."""

    name: str
    public: bool
    manifest_key: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Buckets:
    """Those with routes, in priority order, and those without."""

    routes: tuple[BucketConfig, ...]
    others: tuple[BucketConfig, ...]
    warnings: list[str]


def make_buckets(given: Given, document: Document, wanted: Mapping[str, str]) -> Buckets:
    """The buckets and warnings about them. `wanted` are those that a site or the gateway needs,
    and what a message calls the one that does. Raises ConfigError."""
    tables = _tables(document)
    warnings: list[str] = []
    from_environ = _from_environ(given, warnings)
    of_tables = [
        _Named(n, t.get("public", False), t.get("manifest_key"), t.label("name"))
        for n, t in tables.items()
    ]
    named = from_environ or of_tables
    chosen = {one.name: one for one in reversed(named)}
    for one in named:
        if chosen[one.name] is not one:
            raise ConfigError(f"{one.label}: bucket {one.name!a} is named twice")
    off = {name for name, table in tables.items() if table.get("mode") == "off"}
    routes = [one for one in named if one.name not in off]
    if not routes and not wanted:
        raise ConfigError(_NONE_SET)
    unnamed = wanted.keys() - chosen.keys()
    others = [one for one in of_tables if one.name in off | unnamed]
    others += [
        _Named(name, False, None, label)
        for name, label in wanted.items()
        if name in unnamed - tables.keys()
    ]
    warnings += [
        f"{one.label}: bucket {one.name} has no routes: its [[bucket]] table says mode = off"
        for one in from_environ
        if one.name in off
    ]
    warnings += [
        f"{tables[name].label('name')}: {name} is not served: {_why_not(name in off, named)}"
        for name in tables
        if name not in wanted and (name in off or name not in chosen)
    ]
    default = _default_endpoint(given)
    return Buckets(
        tuple(_bucket(one, tables.get(one.name), given, default) for one in routes),
        tuple(
            replace(_bucket(one, tables.get(one.name), given, default), mode="off")
            for one in others
        ),
        warnings,
    )


def _why_not(is_off: bool, named: Sequence[_Named]) -> str:
    if is_off:
        return "its mode is off, and no site and no gateway names it"
    return f"{named[0].label} does not name it"


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
        given = of_table(table, BUCKET_SETTINGS, document.label)
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
    in_environ = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "S3_ACCESS_KEY"} & _labels(given)
    return Endpoint(
        region=given.get("s3.region", plain.region),
        url=given.get("s3.endpoint") or None,
        external_url=given.get("s3.external_endpoint") or None,
        addressing=given.get("s3.addressing", plain.addressing),
        keys=_estrois_keys(given) if in_environ else _keys(from_file, "s3."),
        profile=None if in_environ else from_file.get("s3.profile"),
    )


def _estrois_keys(given: Given) -> StaticKeys | None:
    """Those of S3_ACCESS_KEY and S3_SECRET_KEY, of which AWS's credential chain knows nothing."""
    if "S3_ACCESS_KEY" not in _labels(given):
        return None
    return StaticKeys(given.get("s3.access_key_id"), given.get("s3.secret_access_key"))


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
    mode: BucketMode = "redirect" if table is None else table.get("mode", "redirect")
    return BucketConfig(replace(bucket, manifest_key=key) if key else bucket, endpoint, mode)


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
