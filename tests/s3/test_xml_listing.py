"""Pages of a listing: written by the standard library, read by ours."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import UpstreamError
from parparchik.model import ListedObject, ListPage, ObjectHead
from parparchik.rfc import format_iso8601
from parparchik.s3.xml import ListPageParser, parse_list_page

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# XML 1.0 cannot say most control characters, and turns a carriage return into a line feed.
xml_text = st.text(
    st.characters(
        min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\x7f\ufffe\uffff"
    )
)
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
heads = st.builds(
    ObjectHead,
    size_bytes=st.integers(0, 5 * 2**40),
    last_modified_s=st.integers(0, 4_000_000_000),
    etag=st.from_regex(r'"[0-9a-f]{32}(-[0-9]{1,4})?"', fullmatch=True),
)
tokens = st.none() | xml_text.filter(bool)


def _page(
    objects: list[tuple[str, ObjectHead]],
    token: str | None = None,
    *,
    encoding_type: str | None = None,
    indent: bool = False,
    last: dict[str, str] | None = None,
) -> bytes:
    """A page as S3 writes it, here and there with elements that we do not need."""
    root = ET.Element("ListBucketResult", xmlns=_NAMESPACE)
    fields = {
        "Name": "bucket",
        "Prefix": "",
        "KeyCount": str(len(objects)),
        "MaxKeys": "1000",
        "IsTruncated": "false" if token is None else "true",
    }
    if encoding_type:
        fields["EncodingType"] = encoding_type
    if token is not None:
        fields["NextContinuationToken"] = token
    _add(root, fields)
    for key, head in objects:
        contents = ET.SubElement(root, "Contents")
        _add(
            contents,
            {
                "Key": key,
                "LastModified": format_iso8601(head.last_modified_s).replace("Z", ".123Z"),
                "ETag": head.etag,
                "Size": str(head.size_bytes),
            },
        )
        _add(ET.SubElement(contents, "Owner"), {"ID": "owner", "Key": "not the object's"})
        _add(contents, {"StorageClass": "STANDARD"})
    _add(ET.SubElement(root, "CommonPrefixes"), {"Prefix": "folder/"})
    _add(root, last or {})
    if indent:
        ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def _parse_byte_by_byte(data: bytes) -> ListPage:
    parser = ListPageParser()
    for byte in data:
        parser.feed(bytes([byte]))
    return parser.close()


def _add(parent: ET.Element, fields: dict[str, str]) -> None:
    for name, text in fields.items():
        ET.SubElement(parent, name).text = text


@given(st.lists(st.tuples(xml_text, heads), max_size=5), tokens, st.booleans())
def test_a_page_comes_back(
    objects: list[tuple[str, ObjectHead]], token: str | None, indent: bool
) -> None:
    expected = ListPage([ListedObject(key, head) for key, head in objects], token)
    assert parse_list_page(_page(objects, token, indent=indent)) == expected


@pytest.mark.parametrize("encode", [quote, quote_plus, lambda key: quote(key, safe="")])
@given(objects=st.lists(st.tuples(any_text, heads), max_size=5))
def test_keys_that_s3_has_encoded_are_decoded(
    encode: Callable[[str], str], objects: list[tuple[str, ObjectHead]]
) -> None:
    encoded = [(encode(key), head) for key, head in objects]
    expected = [ListedObject(key, head) for key, head in objects]
    assert parse_list_page(_page(encoded, encoding_type="url")).objects == expected
    # Some servers say only at the end that the keys above were encoded.
    assert parse_list_page(_page(encoded, last={"EncodingType": "url"})).objects == expected


def test_keys_that_s3_has_not_encoded_are_left_alone() -> None:
    head = ObjectHead(1, 2, '"e"')
    assert [found.key for found in parse_list_page(_page([("a+b%20c", head)])).objects] == [
        "a+b%20c"
    ]


def test_the_last_page_has_no_next_one_whatever_token_it_holds() -> None:
    assert parse_list_page(_page([], last={"NextContinuationToken": "again"})).next_token is None


_PAGE = _page([("a b", ObjectHead(1, 2, '"e"')), ("ž", ObjectHead(3, 4, '"f"'))], "next &<>")


def test_a_page_that_arrives_byte_by_byte() -> None:
    page = _parse_byte_by_byte(_PAGE)
    assert [found.key for found in page.objects] == ["a b", "ž"]
    assert page == parse_list_page(_PAGE)


def test_a_page_cut_short_is_an_error_and_never_a_shorter_page() -> None:
    for length in range(len(_PAGE)):
        with pytest.raises(UpstreamError):
            parse_list_page(_PAGE[:length])


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (_PAGE.replace(b"next &amp;&lt;&gt;", b""), "NextContinuationToken"),
        (_PAGE.replace(b"<IsTruncated>true</IsTruncated>", b""), "IsTruncated"),
        (_PAGE.replace(b">true<", b">yes<"), "IsTruncated"),
        (_PAGE.replace(b"<Key>a b</Key>", b""), "without 'Key'"),
        (_PAGE.replace(b"<Size>1</Size>", b""), "without 'Size'"),
        (_PAGE.replace(b"LastModified", b"Modified"), "without 'LastModified'"),
        (_PAGE.replace(b"<Size>1</Size>", b"<Size>+1</Size>"), "not a size"),
        (_PAGE.replace(b"<Size>1</Size>", b"<Size>1_0</Size>"), "not a size"),
        (_PAGE.replace(b"<Size>1</Size>", "<Size>١</Size>".encode()), "not a size"),
        (_PAGE.replace(b"1970-01-01", b"1970-02-30"), "1970-02-30|out of range"),
        (_PAGE.replace(b"ListBucketResult", b"ListAllMyBucketsResult"), "ListAllMyBuckets"),
        (_PAGE + b"<more/>", "junk after document"),
        (_PAGE + _PAGE, "XML"),
        (b"", "no element"),
        (b"<html><body>It works!</body></html>", "'html'"),
        (b"<Error><Code>SlowDown</Code></Error>", "'Error'"),
        (b'{"objects": []}', "XML"),
        (b"\xff\xfe<\x00", "XML"),
    ],
)
def test_what_is_no_page(wrong: bytes, complaint: str) -> None:
    assert wrong != _PAGE
    with pytest.raises(UpstreamError, match=complaint):
        parse_list_page(wrong)


@pytest.mark.parametrize(
    "declaration",
    [
        b"<!DOCTYPE ListBucketResult>",
        b'<!DOCTYPE ListBucketResult SYSTEM "file:///etc/passwd">',
        b'<!DOCTYPE ListBucketResult [<!ENTITY e "text">]>',
        b'<!DOCTYPE ListBucketResult [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE ListBucketResult [<!ENTITY % p SYSTEM "http://127.0.0.1:1/"> %p;]>',
    ],
)
def test_a_document_type_is_refused(declaration: bytes) -> None:
    head, _, rest = _PAGE.partition(b"?>")
    with pytest.raises(UpstreamError, match="refused"):
        parse_list_page(head + b"?>" + declaration + rest)
    with pytest.raises(UpstreamError, match="refused"):
        _parse_byte_by_byte(head + b"?>" + declaration)


def test_an_entity_that_nobody_declared() -> None:
    with pytest.raises(UpstreamError, match="undefined entity"):
        parse_list_page(_PAGE.replace(b"a b", b"&e;"))


@given(st.binary(max_size=200), st.integers(0, len(_PAGE)), st.integers(0, len(_PAGE)))
def test_garbage_is_an_upstream_error_or_a_page(garbage: bytes, start: int, end: int) -> None:
    """Whatever S3 sends, no other exception comes out."""
    try:
        page = parse_list_page(_PAGE[:start] + garbage + _PAGE[end:])
    except UpstreamError:
        return
    assert page.next_token
