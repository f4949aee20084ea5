"""The object gateway's settings, under our names and under estrois's."""

from __future__ import annotations

import pytest

from parparchik.config import BucketConfig, Endpoint, Loaded, ObjectsConfig, StaticKeys, load
from parparchik.errors import ConfigError
from parparchik.model import Bucket

FILES = {"PARPARCHIK_BUCKETS": "files"}
DEFAULT = (("public", "read"), ("private", "all"), ("local", "all"))
KEYS = {"S3_ACCESS_KEY": "minioadmin", "S3_SECRET_KEY": "minio-secret"}
AWS = {"AWS_ACCESS_KEY_ID": "aws-id", "AWS_SECRET_ACCESS_KEY": "aws-secret"}


def test_estrois_s_own_environment_is_enough() -> None:
    loaded = load(
        {
            **KEYS,
            "S3_ENDPOINT": "localhost:9000",
            "S3_USE_SSL": "false",
            "ALLOWED_BUCKETS": "public-bucket:read,private-bucket:all",
            "MAX_CACHE_SIZE": "300",
        }
    )
    config = loaded.config
    assert loaded.warnings == ()
    assert config.buckets == ()
    assert config.objects is not None
    assert config.objects.mount == "/objects/"
    assert config.objects.allowed_buckets == (("public-bucket", "read"), ("private-bucket", "all"))
    assert config.cache.memory_bytes == 300 << 20
    endpoint = Endpoint(url="http://localhost:9000", keys=StaticKeys("minioadmin", "minio-secret"))
    assert config.other_buckets == tuple(
        BucketConfig(Bucket(name), endpoint, "off") for name in ("public-bucket", "private-bucket")
    )


@pytest.mark.parametrize(
    ("environ", "toml", "allowed"),
    [
        ({}, "", None),
        ({"PARPARCHIK_OBJECTS": "false"}, "", None),
        ({"PARPARCHIK_OBJECTS": "true"}, "", DEFAULT),
        ({}, "[objects]", DEFAULT),
        ({"PARPARCHIK_OBJECTS": "off"}, "[objects]", None),
        ({"ALLOWED_BUCKETS": "files:all"}, "", (("files", "all"),)),
        ({}, "[objects.allowed_buckets]\nfiles = 'all'", (("files", "all"),)),
        ({}, "[objects]\nallowed_buckets = ['files:all']", (("files", "all"),)),
        ({"ALLOWED_BUCKETS": "files:read"}, "[objects.allowed_buckets]\nfiles = 'all'",
         (("files", "read"),)),
    ],
)  # fmt: skip
def test_whether_there_is_a_gateway_and_for_what(
    environ: dict[str, str], toml: str, allowed: tuple[tuple[str, str], ...] | None
) -> None:
    objects = load({**FILES, **environ}, toml.encode()).config.objects
    assert (objects and objects.allowed_buckets) == allowed


@pytest.mark.parametrize("value", ["files", "files:rw", "files:read,", "a:read,a:all", "files:"])
def test_a_malformed_value_stops_the_start(value: str) -> None:
    if value == "files:read,":
        value = "files:read,:"
    for name in ("ALLOWED_BUCKETS", "PARPARCHIK_OBJECTS_ALLOWED_BUCKETS"):
        with pytest.raises(ConfigError, match=rf"^{name}: expected "):
            load({**FILES, name: value})


def test_a_bucket_name_that_s3_has_not() -> None:
    with pytest.raises(ConfigError, match=r"^ALLOWED_BUCKETS: 'Pub_lic' is no bucket name: AWS"):
        load({"ALLOWED_BUCKETS": "Pub_lic:read"})
    assert load({"ALLOWED_BUCKETS": "Pub_lic:read", "S3_ENDPOINT": "minio:9000"}).config.objects


def test_settings_of_a_gateway_that_is_off_are_warned_of() -> None:
    told = "PARPARCHIK_OBJECTS_MAX_UPLOADS is ignored: PARPARCHIK_OBJECTS is not set"
    assert load({**FILES, "PARPARCHIK_OBJECTS_MAX_UPLOADS": "5"}).warnings == (told,)
    told = "ALLOWED_BUCKETS is ignored: PARPARCHIK_OBJECTS turns the gateway off"
    environ = {**FILES, "ALLOWED_BUCKETS": "a-b:read", "PARPARCHIK_OBJECTS": "no"}
    assert load(environ).warnings == (told,)


def test_buckets_with_routes_are_not_named_twice() -> None:
    config = load({**FILES, "ALLOWED_BUCKETS": "files:read,other:all"}).config
    assert [one.bucket.name for one in config.buckets] == ["files"]
    assert [one.bucket.name for one in config.other_buckets] == ["other"]
    assert [one.bucket.name for one in config.every_bucket] == ["files", "other"]


def conflict(environ: dict[str, str], *told: str) -> Loaded:
    loaded = load({**FILES, **environ})
    assert loaded.warnings == told
    return loaded


def test_our_names_win_and_a_warning_says_so() -> None:
    both = {"PARPARCHIK_CACHE_MEMORY": "2GiB", "MAX_CACHE_SIZE": "300"}
    told = "MAX_CACHE_SIZE is ignored: PARPARCHIK_CACHE_MEMORY is set"
    assert conflict(both, told).config.cache.memory_bytes == 2 << 30
    both = {"PARPARCHIK_OBJECTS_ALLOWED_BUCKETS": "files:read", "ALLOWED_BUCKETS": "files:all"}
    told = "ALLOWED_BUCKETS is ignored: PARPARCHIK_OBJECTS_ALLOWED_BUCKETS is set"
    found = conflict(both, told).config.objects
    assert found == ObjectsConfig((("files", "read"),))
    both["ALLOWED_BUCKETS"] = "files:read"
    conflict(both)


@pytest.mark.parametrize("others", [AWS, {"AWS_PROFILE": "work"}])
def test_a_pair_of_keys_wins_as_a_pair(others: dict[str, str]) -> None:
    first = next(iter(others))
    told = [f"{name} is ignored: {first} is set" for name in KEYS]
    # The credential chain reads AWS's names: the settings hold none.
    assert conflict({**KEYS, **others}, *told).config.buckets[0].endpoint.keys is None
    half = {"S3_SECRET_KEY": "minio-secret", **others}
    conflict(half, f"S3_SECRET_KEY is ignored: {first} is set")


@pytest.mark.parametrize("missing", list(KEYS))
def test_half_a_pair_names_the_other_half(missing: str) -> None:
    environ = {name: value for name, value in KEYS.items() if name != missing}
    for toml in (b"", b"[s3]\naccess_key_id = 'i'\nsecret_access_key = 'in-the-file'\n"):
        with pytest.raises(ConfigError, match=f"^{missing} is not set, and ") as caught:
            load({**FILES, **environ}, toml)
        assert "minio-secret" not in str(caught.value)


def test_keys_of_estrois_win_over_the_file_s() -> None:
    for toml in (
        b"[s3]\naccess_key_id = 'i'\nsecret_access_key = 's'\nsession_token = 't'\n",
        b"[s3]\nprofile = 'work'\n",
    ):
        endpoint = load({**FILES, **KEYS}, toml).config.buckets[0].endpoint
        assert endpoint.keys == StaticKeys("minioadmin", "minio-secret", None)
        assert endpoint.profile is None


@pytest.mark.parametrize(
    ("endpoint", "use_ssl", "url", "told"),
    [
        ("minio:9000", "true", "https://minio:9000", ""),
        ("minio:9000", "false", "http://minio:9000", ""),
        ("minio:9000", " ", "http://minio:9000", ""),
        ("http://minio:9000", "false", "http://minio:9000", ""),
        ("https://minio:9000", "1", "https://minio:9000", ""),
        ("https://minio", "no", "https://minio", "S3_ENDPOINT has a scheme of its own"),
        ("http://minio", "yes", "http://minio", "S3_ENDPOINT has a scheme of its own"),
        ("", "true", None, "S3_ENDPOINT is not set"),
    ],
)
def test_s3_use_ssl(endpoint: str, use_ssl: str, url: str | None, told: str) -> None:
    loaded = load({**FILES, "S3_ENDPOINT": endpoint, "S3_USE_SSL": use_ssl})
    assert loaded.config.buckets[0].endpoint.url == url
    assert loaded.warnings == ((f"S3_USE_SSL is ignored: {told}",) if told else ())


def test_s3_use_ssl_is_yes_or_no() -> None:
    with pytest.raises(ConfigError, match=r"^S3_USE_SSL: expected true or false.*; got 'maybe'$"):
        load({**FILES, "S3_USE_SSL": "maybe"})


@pytest.mark.parametrize("size", ["0", "-1", "lots", "300mb extra", str(1 << 30)])
def test_a_size_that_is_none_says_how_to_write_one(size: str) -> None:
    with pytest.raises(ConfigError, match=r"^MAX_CACHE_SIZE: .*300MiB or 10GB \(a plain number.*"):
        load({**FILES, "MAX_CACHE_SIZE": size})


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("memory = '1MiB'\nmemory_object = '2MiB'",
         r"\[cache\] memory_object: 2MiB is more than TOML: \[cache\] memory, 1MiB$"),
        ("memory_object = '512MiB'", "memory_object: 512MiB is more than PARPARCHIK_CACHE_MEMORY"),
        ("directory = '/x'\ndisk = '4MiB'",
         r"^PARPARCHIK_CACHE_SLICE: 8MiB is more than TOML: \[cache\] disk, 4MiB$"),
        ("compress_min = '32MiB'", "32MiB is more than PARPARCHIK_CACHE_COMPRESS_MAX, 16MiB"),
        ("slice = '32KiB'", r"\[cache\] slice: expected a size from 64KiB to 1GiB, a multiple of"),
        ("slice = '100000'", r"\[cache\] slice: expected .*multiple of 4KiB.*; got '100000'$"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_into_each_other(toml: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(FILES, f"[cache]\n{toml}\n".encode())


def test_a_budget_of_a_disk_that_is_not_used() -> None:
    told = "PARPARCHIK_CACHE_DISK is ignored: PARPARCHIK_CACHE_DIR is not set"
    assert load({**FILES, "PARPARCHIK_CACHE_DISK": "1MiB"}).warnings == (told,)
    environ = {**FILES, "PARPARCHIK_CACHE_DISK": "1GiB", "PARPARCHIK_CACHE_DIR": "/x"}
    assert load(environ).warnings == ()
