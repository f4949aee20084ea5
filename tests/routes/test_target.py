"""Which key a request target asks for, and which targets ask for none."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import BadTarget
from parparchik.model import Bucket, Entry
from parparchik.routes import Namespaces, Target, check_key
from parparchik.routes.target import path_of

FILES = Bucket("files", public=True)
VAULT = Bucket("vault")
NAMESPACES = Namespaces([FILES, VAULT])


def key_of(target: bytes) -> str:
    parsed = NAMESPACES.parse(target)
    assert parsed.namespace is not None
    return parsed.key


def is_possible(key: str) -> bool:
    with contextlib.suppress(BadTarget):
        check_key(key)
        return True
    return False


keys = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("/.%+?#&=\\ "),
    min_size=1,
    max_size=30,
).filter(is_possible)


@given(keys)
def test_a_key_that_is_encoded_comes_out_the_same(key: str) -> None:
    assert key_of(b"/files/" + quote(key).encode()) == key
    assert key_of(b"/files/" + quote(key, safe="").encode()) == key


@given(keys)
def test_a_key_with_every_byte_escaped_comes_out_the_same(key: str) -> None:
    for form in ("%%%02x", "%%%02X"):
        escaped = "".join(form % byte for byte in key.encode()).encode()
        assert key_of(b"/files/" + escaped) == key


@given(keys)
def test_the_route_of_an_entry_leads_to_it(key: str) -> None:
    route = Entry(key, VAULT).route
    parsed = NAMESPACES.parse(quote(route).encode())
    assert (parsed.route, parsed.key) == (route, key)
    assert parsed.namespace is not None
    assert parsed.namespace.bucket == VAULT


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: b"/files/" + data))
def test_a_target_of_any_kind_is_a_route_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadTarget):
        parsed = NAMESPACES.parse(data)
        assert isinstance(parsed, Target)
        check_key(parsed.key)
        assert parsed.key.encode().decode() == parsed.key


KEYS = {
    b"/files/a": "a",
    b"/files/a/b.tar.gz": "a/b.tar.gz",
    b"/files/a+b": "a+b",
    b"/files/a%2Bb": "a+b",
    b"/files/a%20b": "a b",
    b"/files/a%2Fb": "a/b",
    b"/files/a%2fb": "a/b",
    b"/files/a//b": "a//b",
    b"/files//a": "/a",
    b"/files/%2Fa": "/a",
    b"/files///": "//",
    b"/files/a/": "a/",
    b"/files/%2541": "%41",
    b"/files/%252e%252e/a": "%2e%2e/a",
    b"/files/a%3Fb": "a?b",
    b"/files/a?b": "a",
    b"/files/a?x=/../b": "a",
    b"/files/a#b": "a#b",
    b"/files/a%23b": "a#b",
    b"/files/a;b=1": "a;b=1",
    b"/files/.hidden": ".hidden",
    b"/files/a..b": "a..b",
    b"/files/...": "...",
    b"/files/a/.../b": "a/.../b",
    b"/files/\xd0\xba": "к",
    b"/files/%D0%BA": "к",
    b"/files/%F0%9F%98%80": "\U0001f600",
    b"/files/\\..\\a": "\\..\\a",
    b"/%66iles/a": "a",
    b"/files/" + b"k" * 1024: "k" * 1024,
    b"/files/" + b"%D0%BA" * 512: "к" * 512,
    b"http://elsewhere.example/files/a": "a",
    b"HTTPS://u:p@elsewhere.example:81/files/a%2Fb?q": "a/b",
}


@pytest.mark.parametrize("target", KEYS)
def test_keys(target: bytes) -> None:
    assert key_of(target) == KEYS[target]


REFUSED = {
    b"/files/%00": "control character U\\+0000",
    b"/files/a%0Ab": "control character U\\+000A",
    b"/files/a\x7fb": "control character U\\+007F",
    b"/files/%C2%85": "control character U\\+0085",
    b"/files/%zz": "hexadecimal",
    b"/files/a%": "hexadecimal",
    b"/files/a%2": "hexadecimal",
    b"/files/%u0041": "hexadecimal",
    b"/%zz/a": "hexadecimal",
    b"/files/%FF": "UTF-8",
    b"/files/\xff": "UTF-8",
    b"/files/%C0%AF": "UTF-8",
    b"/files/%ED%A0%80": "UTF-8",
    b"/%FF/a": "UTF-8",
    b"/files/..": "segment",
    b"/files/.": "segment",
    b"/files/../a": "segment",
    b"/files/a/../b": "segment",
    b"/files/a/./b": "segment",
    b"/files/a/..": "segment",
    b"/files/%2e%2e/a": "segment",
    b"/files/%2E./a": "segment",
    b"/files/a%2F..%2Fb": "segment",
    b"/files//../a": "segment",
    b"/../files/a": "segment",
    b"/%2e%2e/a": "segment",
    b"/files/" + b"k" * 1025: "1025 bytes of UTF-8; S3 allows 1024",
    b"/files/" + b"%D0%BA" * 513: "1026 bytes",
    b"*": "not a path",
    b"files/a": "not a path",
    b"elsewhere.example:443": "not a path",
    b"ftp://elsewhere.example/files/a": "not a path",
}


@pytest.mark.parametrize("target", REFUSED)
def test_refused(target: bytes) -> None:
    with pytest.raises(BadTarget, match=REFUSED[target]) as refusal:
        NAMESPACES.parse(target)
    assert refusal.value.status == 400
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("target", "route"),
    [
        (b"/", "/"),
        (b"/files", "/files"),
        (b"/files/", "/files"),
        (b"http://elsewhere.example", "/"),
        (b"http://elsewhere.example?x", "/"),
    ],
)
def test_no_key_was_given(target: bytes, route: str) -> None:
    parsed = NAMESPACES.parse(target)
    assert (parsed.route, parsed.key) == (route, "")


@pytest.mark.parametrize(
    "target",
    [b"/other/a", b"/Files/a", b"//files/a", b"/files%2Fa/b", b"/fil/es/a", b"/files%20/a"],
)
def test_no_namespace_of_ours(target: bytes) -> None:
    assert NAMESPACES.parse(target).namespace is None


@pytest.mark.parametrize(
    ("target", "kind", "public", "bucket"),
    [
        (b"/files/a", "bucket", True, FILES),
        (b"/vault/a", "bucket", False, VAULT),
        (b"/public/a", "public", True, None),
        (b"/private/a", "private", False, None),
    ],
)
def test_namespaces(target: bytes, kind: str, public: bool, bucket: Bucket | None) -> None:
    namespace = NAMESPACES.parse(target).namespace
    assert namespace is not None
    assert (namespace.kind, namespace.public, namespace.bucket) == (kind, public, bucket)


@pytest.mark.parametrize("public", [True, False])
def test_a_bucket_really_called_public_wins_over_the_alias(public: bool) -> None:
    bucket = Bucket("public", public=public)
    namespace = Namespaces([bucket, VAULT]).parse(b"/public/a").namespace
    assert namespace is not None
    assert (namespace.bucket, namespace.public) == (bucket, public)


@pytest.mark.parametrize(
    ("target", "bucket", "its_route"),
    [
        (b"/files/a", FILES, True),
        (b"/files/a", VAULT, False),
        (b"/public/a", FILES, True),
        (b"/public/a", VAULT, False),
        (b"/private/a", VAULT, True),
        (b"/private/a", FILES, False),
    ],
)
def test_which_routes_are_a_files_own(target: bytes, bucket: Bucket, its_route: bool) -> None:
    namespace = NAMESPACES.parse(target).namespace
    assert namespace is not None
    assert namespace.is_route_of(Entry("a", bucket)) == its_route


def test_the_path_is_what_stands_before_the_query_and_behind_the_authority() -> None:
    assert path_of(b"/a/b?c?d") == b"/a/b"
    assert path_of(b"http://h/a?b") == b"/a"
    assert path_of(b"/http://h/a") == b"/http://h/a"
