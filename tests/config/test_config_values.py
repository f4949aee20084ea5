"""Each parser of a single value: what it takes, what it refuses, and nothing but ValueError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config import places, values
from parparchik.config.sizes import byte_size, size_text

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
    (byte_size(0, 1 << 40), "300MiB", 300 << 20),
    (byte_size(0, 1 << 40), "10GB", 10**10),
    (byte_size(0, 1 << 40), " 1.5 gib ", 3 << 29),
    (byte_size(0, 1 << 40), "1.1kb", 1100),
    (byte_size(0, 1 << 40), "4096", 4096),
    (byte_size(0, 1 << 40), 4096, 4096),
    (byte_size(0, 1 << 40), "7B", 7),
    (byte_size(0, 1 << 40, multiple=4096), "8KiB", 8192),
    (byte_size(0, 1 << 40, plain=1 << 20), "300", 300 << 20),
    (byte_size(0, 1 << 40, plain=1 << 20), "1GiB", 1 << 30),
    *((places.mount, raw, "/docs/") for raw in ("docs", "/docs", "docs/", " /docs/ ")),
    (places.mount, "/", "/"),
    (places.mount, "/a/b.c/~d", "/a/b.c/~d/"),
    (places.own_mount, "objects", "/objects/"),
    (places.site_host, "", ""),
    (places.site_host, "WWW.Example.com.", "www.example.com"),
    (places.site_host, "10.0.0.1", "10.0.0.1"),
    (places.site_host, "[0:0::1]", "[::1]"),
    (places.key_prefix, "", ""),
    (places.key_prefix, "/", ""),
    (places.key_prefix, "/a/b", "a/b/"),
    (places.key_prefix, "жираф/", "жираф/"),
    (places.optional_key, "", ""),
    (places.optional_key, "/errors/404.html", "errors/404.html"),
    (places.file_name, "index.htm", "index.htm"),
    (places.origins, "", ()),
    (places.origins, [], ()),
    (places.origins, "*", ("*",)),
    (places.origins, "https://A.example/, http://b:81,", ("https://a.example", "http://b:81")),
    (places.origins, ["http://[::1]:80"], ("http://[::1]:80",)),
    (places.bucket_permissions, "a:read, b : ALL", (("a", "read"), ("b", "all"))),
    (places.bucket_permissions, ["a:read"], (("a", "read"),)),
    (places.bucket_permissions, {"a": "write"}, (("a", "write"),)),
    (places.networks, "10.0.0.1/8, ::1,", ("10.0.0.0/8", "::1/128")),
    (places.networks, ["192.168.1.1"], ("192.168.1.1/32",)),
    (places.sink_url, "TCP://tsdb:8282", "tcp://tsdb:8282"),
    (places.sink_url, "https://u:p@influx/write?db=x", "https://u:p@influx/write?db=x"),
    (places.sink_url, "mongodb://u:p@a:1,b:2/x", "mongodb://u:p@a:1,b:2/x"),
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
    *((places.networks, raw) for raw in ("10.0.0.0/33", "host", "10.0.0.1-9", 5)),
    (places.networks, [5]),
    *((places.sink_url, raw) for raw in ("", "host:80", "ftp://h", "http://", "tcp://:80", 5)),
    *((places.sink_url, raw) for raw in ("http://a b", "http://ж", "tcp://h:x", "http://[::1", 5)),
    *((byte_size(0, 1 << 40), raw) for raw in ("", "-1", "1.5.5", "1 kg", "MiB", "1e3", "٣", 1.5)),
    *((byte_size(0, 1 << 40), raw) for raw in (True, None, 1 << 41, "2TiB", "1k", "9" * 5000)),
    *((byte_size(1, 9), raw) for raw in (0, 10, "0.5")),
    (byte_size(0, 1 << 40, multiple=4096), 4097),
    *((places.mount, raw) for raw in ("", "//", "a//b", "/../", "a/.", "/ä/", "/a?b", "/%61/")),
    *((places.mount, raw) for raw in (5, None, "/a b/", "/a#", "a" * 256, "/a\nb")),
    (places.own_mount, "/"),
    *((places.site_host, raw) for raw in ("*", "a:80", "http://a", "a/b", "-a", "[::1]:80", 5)),
    *((places.site_host, raw) for raw in ("[fe80::1%eth0]", "[x]", "жираф", "a b")),
    *((places.key_prefix, raw) for raw in ("..", "a/../b", "a//b", "//", "a\nb", 5, "é" * 513)),
    *((places.optional_key, raw) for raw in ("a/", "..", "a/./b", 5)),
    *((places.file_name, raw) for raw in ("", "a/b", "..", "a/", 5)),
    *((places.origins, raw) for raw in ("a.example", "*, https://a", "https://a/b", "ftp://a")),
    *((places.origins, raw) for raw in ("https://a:0", "https://a:65536", "null", 5, [5])),
    *((places.bucket_permissions, raw) for raw in ("", "a", "a:", ":read", "a:read:x", "a:rw")),
    *((places.bucket_permissions, raw) for raw in ("a:read,a:all", "a/b:read")),
    (places.bucket_permissions, []),
    (places.bucket_permissions, {"a": 5}),
    (places.bucket_permissions, {}),
    *((places.bucket_permissions, raw) for raw in (["a:read", 5], 5, "a:read,b", {"a b": "all"})),
    *((values.endpoint, raw) for raw in ("ftp://x", "http://", "://x", "http://x:0", "x:y", 5)),
    *((values.endpoint, raw) for raw in ("http://x:70000", "http://x:", "http://[::1", "http:/x")),
    *((values.endpoint, raw) for raw in ("http://x?a=b", "http://x#a", "http://x/?", "http://x#")),
    *((values.endpoint, raw) for raw in ("http://u@x", "http://u:p@x", "http://жираф", "a b")),
    *((values.endpoint, raw) for raw in ("http://x/..", "http://x\r\nSet-Cookie: a", 'http://x/"')),
    *((values.endpoint, raw) for raw in ("http://x/%2e%2e", "http://-x", "http://x\\y", "[zz]:1")),
]


def _named(value: object) -> str:
    """No address is in it: each process that collects the tests must call them the same."""
    return value.__name__ if isinstance(value, FunctionType) else ascii(value)[:40]


PARSERS = list(dict.fromkeys(parse for parse, *_ in (*ACCEPTED, *REFUSED)))


@pytest.mark.parametrize(("parse", "raw", "parsed"), ACCEPTED)
def test_accepted(parse: Callable[[object], object], raw: object, parsed: object) -> None:
    result = parse(raw)
    assert result == parsed
    assert type(result) is type(parsed)


@pytest.mark.parametrize(("parse", "raw"), REFUSED, ids=_named)
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


@given(st.integers(0, 1 << 50))
def test_a_size_is_read_back_as_it_was_shown(size_bytes: int) -> None:
    assert byte_size(0, 1 << 50)(size_text(size_bytes)) == size_bytes


@given(st.text(alphabet="/.~a-%?#жA ", max_size=12))
def test_a_mount_is_a_path_that_can_be_spelt_in_one_way(raw: str) -> None:
    try:
        path = places.mount(raw)
    except ValueError:
        return
    assert path.startswith("/")
    assert path.endswith("/")
    assert urlsplit(f"http://h{path}").path == path
    assert not {"", ".", ".."} & set(path.strip("/").split("/")) or path == "/"
    assert places.mount(path) == path
