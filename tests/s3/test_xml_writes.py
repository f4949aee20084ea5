"""The XML of writing: ours read by the standard library, and its read by ours."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import UpstreamError
from parparchik.s3.xml_writes import (
    complete_document,
    delete_document,
    parse_completed_etag,
    parse_delete_result,
    parse_upload_id,
    sayable,
)

_NAME = "{http://s3.amazonaws.com/doc/2006-03-01/}"
any_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(any_text.filter(sayable), max_size=5))
def test_keys_survive(keys: list[str]) -> None:
    root = ET.fromstring(delete_document(keys))
    assert [each.findtext(f"{_NAME}Key") for each in root.findall(f"{_NAME}Object")] == keys


@given(any_text)
def test_what_xml_cannot_say_is_known(key: str) -> None:
    """The parser is the judge."""
    try:
        ET.fromstring(delete_document([key]))
    except ET.ParseError:
        assert not sayable(key)
    else:
        assert sayable(key) or any(character in key for character in "\ufffe\uffff")


@pytest.mark.parametrize("key", ["\x00", "a\x1f", "\x0b", "\ufffe", "\uffff", "\ud800"])
def test_unsayable(key: str) -> None:
    assert not sayable(key)


def test_parts_are_numbered() -> None:
    root = ET.fromstring(complete_document(['"a"', '"b&"']))
    assert [[field.text for field in part] for part in root] == [["1", '"a"'], ["2", '"b&"']]


@given(st.lists(st.tuples(any_text.filter(sayable), st.sampled_from(["A", "B"])), max_size=4))
def test_failures(failed: list[tuple[str, str]]) -> None:
    failed = [(key.replace("\r", "").strip("\t\n "), code) for key, code in failed]
    root = ET.Element("DeleteResult", xmlns=_NAME[1:-1])
    for key, code in failed:
        error = ET.SubElement(root, "Error")
        for name, text in (("Key", key), ("Code", code), ("Message", "m")):
            ET.SubElement(error, name).text = text
    ET.SubElement(ET.SubElement(root, "Deleted"), "Key").text = "fine"
    assert parse_delete_result(ET.tostring(root)) == failed


@pytest.mark.parametrize("data", [b"", b"x", b"<Error><Code>A</Code></Error>"])
def test_other_documents(data: bytes) -> None:
    for parse in (parse_upload_id, parse_completed_etag, parse_delete_result):
        with pytest.raises(UpstreamError):
            parse(data)


@pytest.mark.parametrize("data", [b"", b"<UploadId/>", b"<UploadId> </UploadId>", b"<a>1</a>"])
def test_no_upload_id(data: bytes) -> None:
    with pytest.raises(UpstreamError, match="UploadId"):
        parse_upload_id(
            b"<InitiateMultipartUploadResult>" + data + b"</InitiateMultipartUploadResult>"
        )


@pytest.mark.parametrize("root", [b"InitiateMultipartUploadResult", b"InitiateMultipartUpload"])
def test_an_upload_that_is_begun(root: bytes) -> None:
    """The second is what rclone says."""
    data = b"<%b><Key>a</Key><UploadId>12</UploadId></%b>" % (root, root)
    assert parse_upload_id(data) == "12"


def test_white_space_before_the_document() -> None:
    data = (
        b'\r\n   <?xml version="1.0"?>\n<CompleteMultipartUploadResult><ETag>&#34;0-1&#34;</ETag>'
    )
    assert parse_completed_etag(data + b"</CompleteMultipartUploadResult>") == '"0-1"'
