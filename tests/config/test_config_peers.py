"""Other hosts that are told of changes: where they are, and with which key."""

from __future__ import annotations

import pytest

from parparchik.config import CacheConfig, load
from parparchik.errors import ConfigError
from parparchik.server import configured_secrets

FILES = {"PARPARCHIK_BUCKETS": "files"}
KEY = "peers-0123456789abcdef"
API_KEY = "api-0123456789abcdef"
HERE = "http://127.0.0.1:8080"
THERE = "http://10.0.0.2:8080"


def cache(toml: str = "", **environ: str) -> CacheConfig:
    return load(FILES | environ, toml.encode()).config.cache


@pytest.mark.parametrize(
    ("raw", "peers"),
    [
        ("", ()),
        (HERE, (HERE,)),
        ("localhost:1, http://[::1]/ ,https://LOCALHOST", ("http://localhost:1", "http://[::1]",
                                                           "https://localhost")),
        (f"{HERE},{HERE}/", (HERE,)),
    ],
)  # fmt: skip
def test_where_they_are(raw: str, peers: tuple[str, ...]) -> None:
    assert cache(PARPARCHIK_CACHE_PEERS=raw).peers == peers


def test_in_a_file() -> None:
    said = cache(
        f"[cache]\npeers = ['{THERE}', 'https://b.test']\npeer_key = '{KEY}'\npeer_wait = '200ms'\n"
        "peer_timeout = 3\npeer_queue = 50\n"
    )
    assert said == CacheConfig(
        peers=(THERE, "https://b.test"),
        peer_key=KEY,
        peer_wait_s=0.2,
        peer_timeout_s=3.0,
        peer_queue=50,
    )


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (f"peers = ['http://user:{KEY}@h:1']", "URLs without a user: the key is PARPARCHIK_CACHE"),
        ("peers = ['ftp://h']", "expected URLs such as http://10.0.0.2:8080, separated by"),
        ("peers = ['http://h/path']", "without a path"),
        ("peers = ['http://h?a=b']", "expected URLs such as"),
        ("peers = ['http://h:0']", "expected URLs such as"),
        ("peers = [1]", "expected URLs such as"),
        ("peers = 1", "expected URLs such as"),
        (f"peers = {[f'h{n}' for n in range(65)]}", "at most 64"),
        (f"peer_key = '{KEY} '\npeers = ['{THERE}']\npeer_wait = 11", "peer_wait: expected 10 s"),
        ("peer_timeout = 0", "peer_timeout: expected seconds, more than 0"),
        ("peer_queue = 0", "peer_queue: expected a whole number"),
        (f"peer_key = 'a {KEY}'", "peer_key: expected ASCII characters"),
    ],
)
def test_what_is_refused(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"^TOML: \[cache\] ") as caught:
        cache(f"[cache]\n{setting}\n")
    assert told in str(caught.value)
    assert KEY not in str(caught.value)


def test_other_machines_want_a_key() -> None:
    with pytest.raises(ConfigError, match=r"^PARPARCHIK_CACHE_PEERS needs .*CACHE_PEER_KEY"):
        cache(PARPARCHIK_CACHE_PEERS=f"{HERE},{THERE}")
    with pytest.raises(ConfigError, match=r"^TOML: \[cache\] peers needs "):
        cache("[cache]\npeers = ['localhost.example.com']\n")


def test_the_first_api_key_is_that_of_the_peers_where_they_have_none() -> None:
    keys = {"PARPARCHIK_CACHE_PEERS": THERE, "PARPARCHIK_API_KEYS": f"{API_KEY},another"}
    assert cache(**keys).peer_key == API_KEY
    assert cache(**keys, PARPARCHIK_CACHE_PEER_KEY=KEY).peer_key == KEY


def test_the_key_is_a_secret() -> None:
    config = load(FILES | {"PARPARCHIK_CACHE_PEER_KEY": KEY}).config
    assert KEY in configured_secrets(config)
    assert KEY not in repr(config)
