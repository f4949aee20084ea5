"""Which buckets there are, and how each is reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config import Endpoint, StaticKeys, load
from parparchik.errors import ConfigError
from parparchik.model import Bucket

DEFAULT = ".parparchik/files.json"
LOCAL = {"S3_ENDPOINT": "localhost:9000"}


def buckets(environ: dict[str, str], toml: str = "") -> list[Bucket]:
    return [one.bucket for one in load(environ, toml.encode()).config.buckets]


def endpoints(environ: dict[str, str], toml: str = "") -> dict[str, Endpoint]:
    return {one.bucket.name: one.endpoint for one in load(environ, toml.encode()).config.buckets}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("one", [Bucket("one", DEFAULT)]),
        ("one,two", [Bucket("one"), Bucket("two")]),
        (" one , two ,", [Bucket("one"), Bucket("two")]),
        ("one:", [Bucket("one")]),
        ("one::", [Bucket("one")]),
        ("one::public", [Bucket("one", DEFAULT, public=True)]),
        ("one:m:public,two:d/m", [Bucket("one", "m", True), Bucket("two", "d/m")]),
        ("one::private", [Bucket("one")]),
        ("one::PUBLIC", [Bucket("one")]),
        ("public::public,private", [Bucket("public", DEFAULT, True), Bucket("private")]),
        ("list,status,metrics", [Bucket("list"), Bucket("status"), Bucket("metrics")]),
    ],
)  # fmt: skip
def test_bucket_list(listed: str, expected: list[Bucket]) -> None:
    assert buckets({"PARPARCHIK_BUCKETS": listed}) == expected


@pytest.mark.parametrize(
    "listed",
    ["one,one", ",", ":", "::public", "one:m:public:x", "one:/m", "one:a/../b", "a", "One", "o_ne",
     "one..two", "10.0.0.1", "one/two", "x" * 64, "-one", "one two", "..", "\udcff\udcff\udcff"],
)  # fmt: skip
def test_refused_bucket_list(listed: str) -> None:
    with pytest.raises(ConfigError, match="PARPARCHIK_BUCKETS"):
        load({"PARPARCHIK_BUCKETS": listed})


@pytest.mark.parametrize("name", ["a", "One", "o_ne", "10.0.0.1", "x" * 255])
def test_other_servers_allow_more_bucket_names(name: str) -> None:
    assert buckets({**LOCAL, "PARPARCHIK_BUCKETS": name}) == [Bucket(name)]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a b", "a?b", "x" * 256, "жираф"])
def test_no_server_allows_these_bucket_names(name: str) -> None:
    with pytest.raises(ConfigError, match="is no bucket name"):
        load({**LOCAL, "PARPARCHIK_BUCKETS": name})


def test_the_two_variable_form() -> None:
    pair = {"PARPARCHIK_PUBLIC_BUCKET": "open", "PARPARCHIK_PRIVATE_BUCKET": "shut"}
    assert buckets(pair) == [Bucket("open", DEFAULT, public=True), Bucket("shut", DEFAULT)]
    with_key = {**pair, "PARPARCHIK_REGISTRY_MANIFEST_KEY": "m/f.json"}
    assert [one.manifest_key for one in buckets(with_key)] == ["m/f.json", "m/f.json"]


@pytest.mark.parametrize("missing", ["PARPARCHIK_PUBLIC_BUCKET", "PARPARCHIK_PRIVATE_BUCKET"])
def test_half_of_the_two_variable_form_names_the_other_half(missing: str) -> None:
    pair = {"PARPARCHIK_PUBLIC_BUCKET": "open", "PARPARCHIK_PRIVATE_BUCKET": "shut"}
    with pytest.raises(ConfigError, match=f"^{missing} is not set"):
        load({**pair, missing: ""})


def test_the_list_wins_over_the_pair_and_says_so() -> None:
    environ = {
        "PARPARCHIK_BUCKETS": "one",
        "PARPARCHIK_PUBLIC_BUCKET": "open",
        "PARPARCHIK_PRIVATE_BUCKET": "shut",
    }
    loaded = load(environ)
    assert [one.bucket.name for one in loaded.config.buckets] == ["one"]
    assert "PARPARCHIK_PUBLIC_BUCKET is ignored: PARPARCHIK_BUCKETS is set" in loaded.warnings


def test_a_misspelt_flag_is_private_with_a_warning() -> None:
    loaded = load({"PARPARCHIK_BUCKETS": "one::pubilc"})
    assert not loaded.config.buckets[0].bucket.public
    assert any("one is private" in warning for warning in loaded.warnings)
    assert not any(
        "one is private" in w for w in load({"PARPARCHIK_BUCKETS": "one::private"}).warnings
    )


def test_nothing_set_names_what_to_set() -> None:
    with pytest.raises(ConfigError) as caught:
        load({})
    for name in ("PARPARCHIK_BUCKETS=", "PARPARCHIK_PUBLIC_BUCKET", "[[bucket]]", "--config"):
        assert name in str(caught.value)


def test_bucket_tables() -> None:
    toml = '[[bucket]]\nname = "one"\npublic = true\n[[bucket]]\nname="two"\nmanifest_key="m.json"'
    assert buckets({}, toml) == [Bucket("one", DEFAULT, public=True), Bucket("two", "m.json")]
    with pytest.raises(ConfigError, match=r"\[\[bucket\]\] name: 'one' is named twice"):
        buckets({}, '[[bucket]]\nname = "one"\n[[bucket]]\nname = "one"')
    with pytest.raises(ConfigError, match=r"\[\[bucket\]\] number 2 has no name"):
        buckets({}, '[[bucket]]\nname = "one"\n[[bucket]]\npublic = true')


def test_the_environment_names_buckets_and_tables_tell_the_rest() -> None:
    toml = (
        '[[bucket]]\nname = "one"\npublic = true\nmanifest_key = "m.json"\nregion = "eu-west-1"\n'
        '[[bucket]]\nname = "two"\n'
    )
    loaded = load({"PARPARCHIK_BUCKETS": "three,one"}, toml.encode())
    assert [one.bucket for one in loaded.config.buckets] == [
        Bucket("three"),
        Bucket("one", "m.json"),
    ]
    assert loaded.config.buckets[1].endpoint.region == "eu-west-1"
    assert any("two is not served" in warning for warning in loaded.warnings)


def test_endpoint_of_a_bucket_over_the_common_one() -> None:
    toml = """
        [s3]
        external_endpoint = "https://common.example"
        region = "eu-west-1"
        [[bucket]]
        name = "common"
        [[bucket]]
        name = "own"
        endpoint = "https://own.example"
        region = "garage"
        addressing = "virtual"
        [[bucket]]
        name = "aws"
        endpoint = ""
        [[bucket]]
        name = "other-outside"
        external_endpoint = "outside:80"
    """
    found = endpoints({**LOCAL, "AWS_REGION": "eu-west-2"}, toml)
    local, common = "http://localhost:9000", "https://common.example"
    assert found["common"] == Endpoint("eu-west-2", local, common)
    # Its clients are not sent to where the other buckets are.
    assert found["own"] == Endpoint("garage", "https://own.example", None, "virtual")
    assert found["aws"] == Endpoint("eu-west-2", None, None)
    assert found["other-outside"] == Endpoint("eu-west-2", local, "http://outside:80")


def test_endpoint_forms_of_the_contract() -> None:
    def url(endpoint: str) -> str | None:
        return endpoints({"PARPARCHIK_BUCKETS": "one", "S3_ENDPOINT": endpoint})["one"].url

    assert url("minio:9000") == "http://minio:9000"
    assert url("https://s3.example.com") == "https://s3.example.com"
    assert url("") is None


KEYS = 'access_key_id = "file-id"\nsecret_access_key = "file-secret"\n'
BUCKET = '[[bucket]]\nname = "one"\n'


def credentials(environ: dict[str, str], toml: str) -> tuple[StaticKeys | None, str | None]:
    endpoint = endpoints(environ, toml)["one"]
    return endpoint.keys, endpoint.profile


def test_keys_of_the_file() -> None:
    file_keys = StaticKeys("file-id", "file-secret")
    assert credentials({}, f"[s3]\n{KEYS}{BUCKET}") == (file_keys, None)
    assert credentials({}, f"{BUCKET}{KEYS}") == (file_keys, None)
    assert credentials({}, f'{BUCKET}{KEYS}session_token = "t"') == (
        StaticKeys("file-id", "file-secret", "t"),
        None,
    )
    assert credentials({}, f'[s3]\nprofile = "p"\n{BUCKET}') == (None, "p")
    assert credentials({}, f'[s3]\n{KEYS}{BUCKET}profile = "p"') == (None, "p")
    assert credentials({}, f'[s3]\nprofile = "p"\n{BUCKET}{KEYS}') == (file_keys, None)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ACCESS_KEY_ID": "env-id", "AWS_SECRET_ACCESS_KEY": "env-secret"},
        {"AWS_PROFILE": "env-profile"},
    ],
)
def test_keys_of_the_environment_are_the_chains_and_win(environ: dict[str, str]) -> None:
    assert credentials(environ, f"[s3]\n{KEYS}{BUCKET}") == (None, None)
    assert credentials(environ, f'[s3]\nprofile = "p"\n{BUCKET}') == (None, None)
    # What a bucket's own table says is nearer than what the environment says for all.
    assert credentials(environ, f"{BUCKET}{KEYS}")[0] == StaticKeys("file-id", "file-secret")


def test_a_session_token_of_the_environment_is_not_mixed_with_keys_of_the_file() -> None:
    keys, _ = credentials({"AWS_SESSION_TOKEN": "t"}, f"[s3]\n{KEYS}{BUCKET}")
    assert keys == StaticKeys("file-id", "file-secret", None)


@pytest.mark.parametrize(
    ("environ", "toml", "named"),
    [
        ({}, f'{BUCKET}access_key_id = "i"', "access_key_id needs secret_access_key"),
        ({}, f'{BUCKET}secret_access_key = "i"', "secret_access_key needs access_key_id"),
        ({}, f'[s3]\nsecret_access_key = "i"\n{BUCKET}', "needs access_key_id"),
        ({}, f'{BUCKET}session_token = "t"', "session_token needs access_key_id"),
        ({}, f'{BUCKET}{KEYS}profile = "p"', "either a profile or keys"),
        ({}, f'[s3]\n{KEYS}profile = "p"\n{BUCKET}', "either a profile or keys"),
        ({"AWS_ACCESS_KEY_ID": "i"}, BUCKET, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "i"}, BUCKET, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_half_credentials(environ: dict[str, str], toml: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load(environ, toml.encode())


@given(st.text(alphabet="ab:,.-/ публ", max_size=30) | st.text(max_size=20))
def test_any_bucket_list_is_a_config_or_a_config_error(listed: str) -> None:
    try:
        config = load({**LOCAL, "PARPARCHIK_BUCKETS": listed}).config
    except ConfigError:
        return
    names = [one.bucket.name for one in config.buckets]
    assert names
    assert len(set(names)) == len(names)
    assert all(name and "/" not in name and "," not in name for name in names)
