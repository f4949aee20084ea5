"""Each parser of a single value: what it takes, what it refuses, and nothing but ValueError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config import values

ACCEPTED: list[tuple[Callable[[object], object], object, object]] = [
    *((values.boolean, raw, True) for raw in ("true", "TRUE", "yes", "on", "1", " true ", True, 1)),
    *((values.boolean, raw, False) for raw in ("false", "No", "off", "0", False, 0)),
    (values.port, "0", 0),
    (values.port, "65535", 65535),
    (values.port, 8080, 8080),
    (values.fixed_port, "1", 1),
    (values.fixed_port, 65535, 65535),
    (values.integer(1, 5), "5", 5),
    (values.seconds(), "0", 0.0),
    (values.seconds(), "500ms", 0.5),
    (values.seconds(), "200ms", 0.2),
    (values.seconds(), "2", 2.0),
    (values.seconds(), "2.5s", 2.5),
    (values.seconds(), "15 m", 900.0),
    (values.seconds(), "24h", 86400.0),
    (values.seconds(), "7D", 604800.0),
    (values.seconds(), 1.5, 1.5),
    (values.seconds(above=0), 1, 1.0),
    (values.whole_seconds(1, 604_800), "7d", 604_800),
    (values.whole_seconds(1, 604_800), 1.0, 1),
    (values.choice("auto", "path"), "PATH", "path"),
    (values.host, "127.0.0.1", "127.0.0.1"),
    (values.host, "[::1]", "::1"),
    (values.host, "fe80::1%eth0", "fe80::1%eth0"),
    (values.region, "eu-central-1", "eu-central-1"),
    (values.path, "/etc/ssl/my ca.pem", Path("/etc/ssl/my ca.pem")),
    (values.api_keys, "a, b,,a", ("a", "b")),
    (values.api_keys, ["a", "b"], ("a", "b")),
    (values.manifest_key, ".parparchik/files.json", ".parparchik/files.json"),
    (values.manifest_key, "жираф/a b.json", "жираф/a b.json"),
    (values.endpoint, "", ""),
    (values.endpoint, "localhost:9000", "http://localhost:9000"),
    (values.endpoint, "minio", "http://minio"),
    (values.endpoint, "s3_server:9000", "http://s3_server:9000"),
    (values.endpoint, "[::1]:9000", "http://[::1]:9000"),
    (values.endpoint, "HTTPS://S3.Example.com/", "https://s3.example.com"),
    (values.endpoint, "https://s3.example.com:443", "https://s3.example.com:443"),
    (values.endpoint, "http://10.0.0.1:9000", "http://10.0.0.1:9000"),
]

_NEVER: tuple[object, ...] = (10**400, True, None, "", "s", "99999999999999")
REFUSED: list[tuple[Callable[[object], object], object]] = [
    *((values.boolean, raw) for raw in ("", "maybe", 2, None, [1], 1.5)),
    *((values.fixed_port, raw) for raw in ("0", 0, "65536", "tcp://10.0.0.1:8443", "")),
    *((values.port, raw) for raw in ("-1", "65536", "80.0", "8_0", "٨٠", "", True, 80.0, None)),
    *((values.integer(1, 5), raw) for raw in ("0", 6, "1" * 5000)),
    *(
        (values.seconds(), raw)
        for raw in ("-1", -1, "nan", float("nan"), float("inf"), "1e9", "2w")
    ),
    *((values.seconds(), raw) for raw in _NEVER),
    *((values.seconds(above=0), raw) for raw in ("0", 0, "0ms")),
    *((values.whole_seconds(1, 604_800), raw) for raw in ("0", "604801", "8d", 1.5, "500ms")),
    *((values.choice("auto", "path"), raw) for raw in ("", "paths", 1)),
    *((values.host, raw) for raw in ("", "http://x", "a b", "x/y", 5)),
    *((values.region, raw) for raw in ("", "eu central", "eu/1", "-a", 1)),
    *((values.text, raw) for raw in ("", "  ", "a\nb", "a\x00", "\udcff", 5)),
    *((values.visible, raw) for raw in ("", "a b", "ключ", "a\r\nb")),
    *((values.api_keys, raw) for raw in ("", ",", [], "a b", ["a", 1], 5, ["ключ"])),
    *((values.manifest_key, raw) for raw in ("", "/a", "a/", "a//b", "../a", "a/./b", "a\nb")),
    (values.manifest_key, "é" * 513),
    *((values.endpoint, raw) for raw in ("ftp://x", "http://", "://x", "http://x:0", "x:y", 5)),
    *((values.endpoint, raw) for raw in ("http://x:70000", "http://x:", "http://[::1", "http:/x")),
    *((values.endpoint, raw) for raw in ("http://x?a=b", "http://x#a", "http://x/?", "http://x#")),
    *((values.endpoint, raw) for raw in ("http://u@x", "http://u:p@x", "http://жираф", "a b")),
    *((values.endpoint, raw) for raw in ("http://x/..", "http://x\r\nSet-Cookie: a", 'http://x/"')),
    *((values.endpoint, raw) for raw in ("http://x/%2e%2e", "http://-x", "http://x\\y", "[zz]:1")),
]

PARSERS = list(dict.fromkeys(parse for parse, *_ in (*ACCEPTED, *REFUSED)))


@pytest.mark.parametrize(("parse", "raw", "parsed"), ACCEPTED)
def test_accepted(parse: Callable[[object], object], raw: object, parsed: object) -> None:
    result = parse(raw)
    assert result == parsed
    assert type(result) is type(parsed)


@pytest.mark.parametrize(("parse", "raw"), REFUSED, ids=lambda value: ascii(value)[:40])
def test_refused(parse: Callable[[object], object], raw: object) -> None:
    with pytest.raises(ValueError, match=r"^expected [^\n]+$"):
        parse(raw)


def test_kubernetes_service_link_is_explained() -> None:
    with pytest.raises(ValueError, match="enableServiceLinks: false"):
        values.port("tcp://10.0.0.1:8080")


_toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(parse=st.sampled_from(PARSERS), raw=_toml_values)
def test_nothing_but_a_value_or_value_error(parse: Callable[[object], object], raw: object) -> None:
    message = ""
    try:
        parse(raw)
    except ValueError as error:
        message = f"{type(error).__name__}: {error}"
    assert not message or message.startswith("ValueError: ")
    assert message.isprintable()


@given(st.text(alphabet="ahtps:/@?#[]%.\\ 019\r\n-_ж", max_size=25))
def test_an_endpoint_can_stand_before_a_key_in_a_url(raw: str) -> None:
    try:
        url = values.endpoint(raw)
    except ValueError:
        return
    if url:
        parts = urlsplit(f"{url}/bucket/key")
        assert parts.scheme in ("http", "https")
        assert parts.hostname
        assert parts.username is None
        assert parts.query == parts.fragment == ""
        assert parts.path.endswith("/bucket/key")
        assert url.isprintable()
        assert not url.endswith("/")
        assert values.endpoint(url) == url
