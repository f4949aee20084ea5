"""Other hosts with caches of the same objects: where they are, and what opens their doors."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from parparchik.config import values
from parparchik.config.model import AuthConfig, CacheConfig
from parparchik.errors import ConfigError

MAX_PEERS = 64
"""Each has a task, a connection and a queue of its own, on each of the others."""

LONGEST_WAIT_S = 10.0
"""Of a write. The processes of one host that ask each other give up at twice that."""

_EXPECTED = "expected URLs such as http://10.0.0.2:8080, separated by commas"


def urls(raw: object) -> tuple[str, ...]:
    """URLs of servers, without a path: separated by commas or as a TOML array; none is nobody.
    `host:port` means http. As in `values`, a ValueError never repeats the value."""
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ValueError(_EXPECTED)
    found = tuple(dict.fromkeys(_url(one) for one in given if one.strip()))
    if len(found) > MAX_PEERS:
        raise ValueError(f"expected at most {MAX_PEERS} of them")
    return found


def _url(one: str) -> str:
    if "@" in one:
        raise ValueError("expected URLs without a user: the key is PARPARCHIK_CACHE_PEER_KEY")
    try:
        url = values.endpoint(one)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if not url or urlsplit(url).path:
        raise ValueError(f"{_EXPECTED}, without a path")
    return url


def wait(raw: object) -> float:
    number = values.seconds()(raw)
    if number > LONGEST_WAIT_S:
        raise ValueError(f"expected {LONGEST_WAIT_S:g} s at most: every write may wait so long")
    return number


def with_peers(cache: CacheConfig, auth: AuthConfig, label: str) -> CacheConfig:
    """`cache` with the key that its peers are shown. Raises ConfigError, with what `label` calls
    them, where they will not hear us without one."""
    if cache.peer_key:
        return cache
    if auth.api_keys:
        return replace(cache, peer_key=auth.api_keys[0])
    if all(_is_this_machine(url) for url in cache.peers):
        return cache
    raise ConfigError(
        f"{label} needs PARPARCHIK_CACHE_PEER_KEY (or PARPARCHIK_API_KEYS),"
        " the same on all hosts: without a key a server takes changes from its own machine alone"
    )


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
