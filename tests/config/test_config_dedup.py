"""[dedup]: whether there is a store, what it stands on, and what would go wrong."""

from __future__ import annotations

import pytest

from parparchik.config import load
from parparchik.config.model import DedupConfig
from parparchik.errors import ConfigError

BOTH = {
    "PARPARCHIK_DEDUP_BUCKET": "blobs",
    "PARPARCHIK_DEDUP_METADATA": "sqlite:///files.db",
}


def test_nobody_has_one_who_does_not_ask() -> None:
    assert load({"PARPARCHIK_BUCKETS": "files"}).config.dedup is None


def test_a_bucket_and_a_database_are_enough_and_need_no_routes() -> None:
    config = load(BOTH).config
    assert config.dedup == DedupConfig("blobs", "sqlite:///files.db")
    assert config.dedup.mount == "/ft/"
    assert config.buckets == ()
    assert [each.bucket.name for each in config.every_bucket] == ["blobs"]


def test_the_file_says_the_same() -> None:
    toml = b"[dedup]\nbucket = 'blobs'\nmetadata = 'redis://host/0'\nmount = '/'\n"
    config = load({}, toml).config
    assert config.dedup == DedupConfig("blobs", "redis://host/0", mount="/")


def test_the_buckets_table_tells_where_it_is() -> None:
    toml = b"[[bucket]]\nname = 'blobs'\nendpoint = 'http://elsewhere:1'\nmode = 'off'\n"
    (bucket,) = load(BOTH, toml).config.every_bucket
    assert (bucket.endpoint.url, bucket.mode) == ("http://elsewhere:1", "off")


@pytest.mark.parametrize("missing", sorted(BOTH))
def test_half_a_store_is_none(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        load({name: value for name, value in BOTH.items() if name != missing})


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite:///a.db", "sqlite:////var/lib/a.db", "redis://host", "redis://host:1/0"),
        *("rediss://user:word@host:6380/15", "redis://[::1]:6379/0"),
    ],
)
def test_databases(url: str) -> None:
    config = load({**BOTH, "PARPARCHIK_DEDUP_METADATA": url}).config
    assert config.dedup is not None
    assert config.dedup.metadata == url


@pytest.mark.parametrize(
    "url",
    [
        *("a.db", "/var/lib/a.db", "sqlite:a.db", "sqlite://a.db", "sqlite:///", "sqlite:////"),
        *("sqlite:///folder/", "mysql://host/0", "redis://", "redis://host/db", "redis://host:0/0"),
        *("redis://host:port/0", "redis://host/0#x", "redis://host/0/1"),
    ],
)
def test_no_databases(url: str) -> None:
    with pytest.raises(ConfigError, match="PARPARCHIK_DEDUP_METADATA: expected sqlite"):
        load({**BOTH, "PARPARCHIK_DEDUP_METADATA": url})


def test_a_password_is_in_no_message_and_no_repr() -> None:
    config = load({**BOTH, "PARPARCHIK_DEDUP_METADATA": "redis://u:hunter2@h/0"}).config
    assert "hunter2" not in repr(config)
    config = load({**BOTH, "PARPARCHIK_DEDUP_UPSTREAM": "http://u:hunter2@h"}).config
    assert "hunter2" not in repr(config)
    for name in ("PARPARCHIK_DEDUP_METADATA", "PARPARCHIK_DEDUP_UPSTREAM"):
        with pytest.raises(ConfigError) as error:
            load({**BOTH, name: "gopher://u:hunter2@h/0"})
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["http://h:9999", "https://u:p@h/ft", "http://h/ft/"])
def test_upstreams(url: str) -> None:
    config = load({**BOTH, "PARPARCHIK_DEDUP_UPSTREAM": url}).config
    assert config.dedup is not None
    assert config.dedup.upstream == url.rstrip("/")


@pytest.mark.parametrize("url", ["h:9999", "ftp://h", "http://", "http://h/?a", "http://h:0", "x"])
def test_no_upstreams(url: str) -> None:
    with pytest.raises(ConfigError, match="PARPARCHIK_DEDUP_UPSTREAM: expected the URL"):
        load({**BOTH, "PARPARCHIK_DEDUP_UPSTREAM": url})


@pytest.mark.parametrize(
    "other",
    [
        {"PARPARCHIK_BUCKETS": "blobs"},
        {"PARPARCHIK_OBJECTS_ALLOWED_BUCKETS": "blobs:read"},
    ],
)
def test_in_a_bucket_of_others_it_needs_a_part_of_its_own(other: dict[str, str]) -> None:
    """What lies there and the store does not know, its cleaner deletes."""
    with pytest.raises(ConfigError, match="PARPARCHIK_DEDUP_PREFIX"):
        load({**BOTH, **other})
    config = load({**BOTH, **other, "PARPARCHIK_DEDUP_PREFIX": "blobs"}).config
    assert config.dedup is not None
    assert config.dedup.prefix == "blobs/"


def test_a_key_cannot_be_asked_for_where_there_is_none() -> None:
    for name in ("READ", "WRITE"):
        setting = f"PARPARCHIK_DEDUP_{name}_NEEDS_KEY"
        with pytest.raises(ConfigError, match=f"{setting} needs PARPARCHIK_API_KEYS"):
            load({**BOTH, setting: "yes"})
        assert load({**BOTH, setting: "no"}).config.dedup is not None


def test_two_do_not_share_a_place() -> None:
    same = {"PARPARCHIK_DEDUP_MOUNT": "/objects/", "PARPARCHIK_OBJECTS_ALLOWED_BUCKETS": "a-b:all"}
    with pytest.raises(ConfigError, match="PARPARCHIK_DEDUP_MOUNT: /objects/ belongs to"):
        load({**BOTH, **same})
    with pytest.raises(ConfigError, match="/files/ belongs to the routes of bucket files"):
        load({**BOTH, "PARPARCHIK_BUCKETS": "files", "PARPARCHIK_DEDUP_MOUNT": "/files/"})


def test_what_it_hides_at_the_root_is_told() -> None:
    environ = {**BOTH, "PARPARCHIK_BUCKETS": "files", "PARPARCHIK_DEDUP_MOUNT": "/"}
    warnings = load(environ).warnings
    assert any("it hides all routes of buckets" in warning for warning in warnings)
    assert any("/list is the dedup store's" in warning for warning in warnings)
    assert not any("/list" in warning for warning in load(BOTH).warnings)
