"""Conditional requests: the rules of RFC 9110 section 13, and one table for their order."""

from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.rfc import Conditions, ETag, Outcome, evaluate, range_applies

AT_S = 784_111_777
AT = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
TAG = ETag('"a"')


def _outcome(reading: bool = True, **fields: str) -> Outcome:
    return evaluate(Conditions(**fields), reading=reading, etag=TAG, last_modified_s=AT_S)


# The value, and whether its condition is true.
FIELDS = {
    "if_match": {'"a"': True, '"b", "a"': True, "*": True, '"b"': False, 'W/"a"': False},
    "if_unmodified_since": {AT: True, AFTER: True, BEFORE: False},
    "if_none_match": {'"b"': True, '"a"': False, 'W/"a"': False, '"b","a"': False, "*": False},
    "if_modified_since": {BEFORE: True, AT: False, AFTER: False},
}
MALFORMED = {
    "if_match": {"a": False, '"a", b': False},
    "if_unmodified_since": {"today": True, f"{BEFORE}, {BEFORE}": True},
    "if_none_match": {"a": True, '"a", b': True},
    "if_modified_since": {"today": True, f"{AFTER}, {AFTER}": True, "0": True},
}


def test_the_order_of_section_13_2_2() -> None:
    """Every combination of fields, absent ones too, against the section's steps word by word."""
    values = [{"": None, **FIELDS[name], **MALFORMED[name]} for name in FIELDS]
    for combination in product(*(of_one.items() for of_one in values)):
        (im, im_true), (ius, ius_true), (inm, inm_true), (ims, ims_true) = combination
        for reading in (True, False):
            expected: Outcome = "proceed"
            if im_true is False or (im_true is None and ius_true is False):  # step 1
                expected = "failed"
            elif inm_true is not None:  # step 3
                if not inm_true:
                    expected = "not modified" if reading else "failed"
            elif reading and ims_true is False:  # step 4
                expected = "not modified"
            given_fields = Conditions(im, ius, inm, ims)
            found = evaluate(given_fields, reading=reading, etag=TAG, last_modified_s=AT_S)
            assert found == expected, given_fields


@pytest.mark.parametrize(
    ("field", "value", "outcome"),
    [
        ("if_match", "*", "failed"),
        ("if_match", '"a"', "failed"),
        ("if_none_match", "*", "proceed"),
        ("if_none_match", '"a"', "proceed"),
        ("if_unmodified_since", BEFORE, "proceed"),
        ("if_modified_since", AFTER, "proceed"),
    ],
)
def test_where_there_is_nothing(field: str, value: str, outcome: Outcome) -> None:
    for reading in (True, False):
        assert evaluate(Conditions(**{field: value}), reading=reading, exists=False) == outcome


def test_what_has_neither_tag_nor_date() -> None:
    assert evaluate(Conditions(if_none_match="*"), reading=True) == "not modified"
    assert evaluate(Conditions(if_match="*"), reading=True) == "proceed"
    assert evaluate(Conditions(if_match='"a"'), reading=True) == "failed"
    assert evaluate(Conditions("", BEFORE, "", AFTER), reading=True) == "proceed"


def test_a_weak_tag_of_ours() -> None:
    weak = ETag('"a"', weak=True)
    assert evaluate(Conditions(if_match='W/"a"'), reading=True, etag=weak) == "failed"
    for given_tag in ('W/"a"', '"a"'):
        conditions = Conditions(if_none_match=given_tag)
        assert evaluate(conditions, reading=True, etag=weak) == "not modified"


def test_years_of_two_digits_need_the_present() -> None:
    conditions = Conditions(if_modified_since="Sunday, 06-Nov-94 08:49:37 GMT")
    for now_s, outcome in ((784_200_000, "not modified"), (3_000_000_000, "not modified")):
        assert evaluate(conditions, reading=True, last_modified_s=AT_S, now_s=now_s) == outcome
    at_2094 = AT_S + 100 * 31_556_952
    assert (
        evaluate(conditions, reading=True, last_modified_s=at_2094 - 86_400 * 9, now_s=at_2094)
        == "not modified"
    )


def test_no_condition_is_none() -> None:
    assert not Conditions()
    assert Conditions(if_modified_since="x")


IF_RANGE = {
    "": True,
    '"a"': True,
    '"b"': False,
    'W/"a"': False,
    '"a", "b"': False,
    "*": False,
    AT: True,
    "Sun Nov  6 08:49:37 1994": True,
    BEFORE: False,
    AFTER: False,
    "a": False,
}


@pytest.mark.parametrize("text", IF_RANGE)
def test_if_range(text: str) -> None:
    now_s = AT_S + 1000.0
    assert range_applies(text, etag=TAG, last_modified_s=AT_S, now_s=now_s) is IF_RANGE[text]


def test_if_range_and_weak_validators() -> None:
    weak = ETag('"a"', weak=True)
    for text in ('"a"', 'W/"a"'):
        assert not range_applies(text, etag=weak, last_modified_s=AT_S, now_s=AT_S + 1000)
    for age_s, applies in ((0, False), (59, False), (60, True), (-5, False)):
        found = range_applies(AT, etag=weak, last_modified_s=AT_S, now_s=AT_S + age_s)
        assert found is applies
    assert not range_applies(AT, etag=None, last_modified_s=None, now_s=AT_S)
    assert not range_applies('"a"', etag=None, last_modified_s=None, now_s=AT_S)


_texts = st.text(st.characters(max_codepoint=255))


@given(st.builds(Conditions, _texts, _texts, _texts, _texts), _texts)
def test_nothing_raises(conditions: Conditions, if_range: str) -> None:
    outcome = evaluate(
        conditions, reading=False, etag=TAG, last_modified_s=AT_S, now_s=AT_S + 100.0
    )
    assert outcome in ("proceed", "failed")
    range_applies(if_range, etag=TAG, last_modified_s=AT_S, now_s=AT_S + 100.0)


def test_a_long_list_takes_no_time() -> None:
    """A client may send thousands of tags with each of many requests."""
    conditions = Conditions(if_none_match='"a", ' * 200_000)
    begun_s = time.process_time()
    for _ in range(20):
        assert evaluate(conditions, reading=True, etag=ETag('"b"')) == "proceed"
    assert time.process_time() - begun_s < 1
