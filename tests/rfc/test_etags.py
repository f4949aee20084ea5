"""Entity tags, by the tables of RFC 9110 section 8.8.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.rfc import ETag, coded_etag, parse_etag
from parparchik.rfc.etags import parse_etags, strongly_equal, weakly_equal

TAGS = {
    '"xyzzy"': ETag('"xyzzy"'),
    'W/"xyzzy"': ETag('"xyzzy"', weak=True),
    '""': ETag('""'),
    '"a,b c"': None,  # no space in a tag
    '"a,b"': ETag('"a,b"'),
    '"d41d8cd98f00b204e9800998ecf8427e-5"': ETag('"d41d8cd98f00b204e9800998ecf8427e-5"'),
    '"\xe4"': ETag('"\xe4"'),
    'w/"xyzzy"': None,
    "xyzzy": None,
    '"xyzzy': None,
    'xyzzy"': None,
    '"xy"zy"': None,
    '"\x7f"': None,
    '"\n"': None,
    '"a"\n': None,
    '"\u0100"': None,
    "W/": None,
    "": None,
}


@pytest.mark.parametrize("text", TAGS)
def test_one(text: str) -> None:
    assert parse_etag(text) == TAGS[text]
    if tag := TAGS[text]:
        assert str(tag) == text


# RFC 9110 section 8.8.3.2.
COMPARISONS = [
    ('W/"1"', 'W/"1"', False, True),
    ('W/"1"', 'W/"2"', False, False),
    ('W/"1"', '"1"', False, True),
    ('"1"', '"1"', True, True),
]


@pytest.mark.parametrize(("one", "other", "strong", "weak"), COMPARISONS)
def test_comparison(one: str, other: str, strong: bool, weak: bool) -> None:
    first, second = parse_etag(one), parse_etag(other)
    assert first
    assert second
    for a, b in ((first, second), (second, first)):
        assert strongly_equal(a, b) is strong
        assert weakly_equal(a, b) is weak


LISTS = {
    "*": "*",
    " * ": "*",
    '"a"': (ETag('"a"'),),
    '"xyzzy", "r2d2xxxx", "c3piozzzz"': (ETag('"xyzzy"'), ETag('"r2d2xxxx"'), ETag('"c3piozzzz"')),
    'W/"a" ,\t"b"': (ETag('"a"', weak=True), ETag('"b"')),
    '"a,b","c"': (ETag('"a,b"'), ETag('"c"')),
    ',, "a",, "b" ,': (ETag('"a"'), ETag('"b"')),
    "": (),
    ",": (),
    '"a" "b"': (),
    '"a", b': (),
    '*, "a"': (),
    '"a", *': (),
    "**": (),
}


@pytest.mark.parametrize("text", LISTS)
def test_lists(text: str) -> None:
    assert parse_etags(text) == LISTS[text]


@given(st.text(st.characters(max_codepoint=255)))
def test_nothing_raises(text: str) -> None:
    parse_etags(text)
    tag = parse_etag(text)
    assert tag is None or str(tag) == text


_tags = st.builds(
    ETag,
    st.text(st.sampled_from("ab,/W*\xff!"), max_size=5).map('"{}"'.format),
    st.booleans(),
)


@given(st.lists(_tags, min_size=1), st.sampled_from([",", ", ", " ,", ",,", " , \t,"]))
def test_what_is_joined_comes_apart(tags: list[ETag], separator: str) -> None:
    assert parse_etags(separator.join(map(str, tags))) == tuple(tags)


def test_the_tag_of_a_coding() -> None:
    assert str(coded_etag(ETag('"x"'), "gzip")) == '"x-gzip"'
    assert str(coded_etag(ETag('"x"', weak=True), "br")) == 'W/"x-br"'
