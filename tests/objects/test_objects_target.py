"""Which object a request target is about."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import BadTarget
from parparchik.objects.target import Place, encoded_mount, parse
from parparchik.routes import check_key
from tests.objects.scene import Scene, header

MOUNT = b"/objects/"


@pytest.mark.parametrize(
    ("path", "bucket", "key"),
    [
        (b"b/k", "b", "k"),
        (b"b/dir/k.txt", "b", "dir/k.txt"),
        (b"b/a+b", "b", "a+b"),
        (b"b/a%2Bb", "b", "a+b"),
        (b"b/a%20b", "b", "a b"),
        (b"b/100%25", "b", "100%"),
        (b"b/a%2520b", "b", "a%20b"),
        (b"b//k", "b", "/k"),
        (b"b/a//k", "b", "a//k"),
        (b"b/a%2Fk", "b", "a/k"),
        (b"b/dir/", "b", "dir/"),
        (b"b/%D0%BA%D0%BE%D1%82", "b", "кот"),
        ("b/кот".encode(), "b", "кот"),
        (b"b/", "b", ""),
        (b"b", "b", ""),
        (b"b%2Fk", "b/k", ""),
        (b"b/a%3Fb%23c", "b", "a?b#c"),
        (b"b/objects/", "b", "objects/"),
    ],
)
def test_the_key_is_what_was_meant(path: bytes, bucket: str, key: str) -> None:
    assert parse(MOUNT + path, MOUNT) == Place(bucket, key, b"")
    assert parse(b"http://any.where" + MOUNT + path, MOUNT) == Place(bucket, key, b"")
    assert parse(MOUNT + path + b"?x=1/2?3", MOUNT) == Place(bucket, key, b"x=1/2?3")


@given(st.text(min_size=1, max_size=50))
def test_every_key_survives_encoding(key: str) -> None:
    try:
        key.encode()
        check_key(key)
    except (UnicodeEncodeError, BadTarget):
        return
    for safe in ("", "/", "/+!*'()"):
        target = f"/objects/bucket/{quote(key, safe=safe)}".encode()
        assert parse(target, MOUNT) == Place("bucket", key, b"")


@pytest.mark.parametrize(
    "target",
    [
        b"/objects/b/%",
        b"/objects/b/%4",
        b"/objects/b/%zz",
        b"/objects/b/%ff",
        b"/objects/%ff/k",
        b"/objects/b/a%00b",
        b"/objects/b/a/../b",
        b"/objects/b/%2e%2e/b",
        b"/objects/b/" + b"k" * 1025,
        b"/objects/",
        b"/objects",
        b"/objects//k",
        b"/other/b/k",
        b"*",
    ],
)
def test_what_can_be_no_object(target: bytes) -> None:
    with pytest.raises(BadTarget):
        parse(target, MOUNT)


def test_the_mount_itself_names_no_bucket() -> None:
    for target in (b"/objects", b"/objects/", b"/objects?x"):
        with pytest.raises(BadTarget, match="names no bucket"):
            parse(target, MOUNT)


def test_other_mounts() -> None:
    assert encoded_mount("/objects/") == MOUNT
    assert parse(b"/my%20own/%C3%A9+/b/k", encoded_mount("/my own/é+/")) == Place("b", "k", b"")
    assert parse(b"/b/k", b"/") == Place("b", "k", b"")
    assert parse(b"/a/b/c/k", b"/a/b/") == Place("c", "k", b"")


@pytest.mark.parametrize(
    ("target", "allow"), [("/objects/own/k", "GET, HEAD, PUT, DELETE"), ("/objects/own", "POST")]
)
async def test_other_methods(target: str, allow: str) -> None:
    for method in ("PATCH", "OPTIONS", "TRACE"):
        answer = await Scene().act(method, target)
        assert (answer.status, header(answer, "allow")) == (405, allow)
