"""Versions: RFC 2822's dates, to seconds and back."""

from __future__ import annotations

from email.utils import formatdate, mktime_tz, parsedate_tz

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.dedup.versions import BadVersion, format_version, parse_version

FIRST_S = -62_135_596_800  # of the year 1
LAST_S = 253_402_300_799  # of the year 9999
times = st.integers(FIRST_S, LAST_S)


@pytest.mark.parametrize(
    ("text", "version_s"),
    [
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0),
        ("Thu, 01 Jan 1970 00:00:00 +0000", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 -0000", -1),
        ("Thu, 01 Jan 1970 00:00:00 +0200", -7200),
        ("Thu, 01 Jan 1970 00:00:00 -0130", 5400),
        ("Thu, 01 Jan 1970 00:00:00  0200", -7200),  # a plus that came through a form
        ("1 Jan 1970 00:00 UT", 0),
        ("1 jan 70 00:00:01 est", 18_001),
        ("Sat, 1 Jan 2000 00:00:00 Z", 946_684_800),
        ("Sat, 01 Jan 00 00:00:00 +0000", 946_684_800),
        ("Mon, 01 Jan 100 00:00:00 +0000", 946_684_800),  # three digits: after 1900
        ("Fri, 30 Jun 2012 23:59:60 +0000", 1_341_100_800),  # a leap second, and not that day
        (" Thu, 01 Jan 1970 00:00:00 +0000 (UTC) ", 0),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ("Thu Jan  1 00:00:00 1970", 0),
        ("Mon, 01 Jan 0001 00:00:00 +0000", FIRST_S),
        ("Fri, 31 Dec 9999 23:59:59 +0000", LAST_S),
    ],
)
def test_dates(text: str, version_s: int) -> None:
    assert parse_version(text) == version_s


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "Thu", "Thu, 01 Jan 1970", "Thu, 01 Jan 1970 00:00:00", "1 Jan 1970 00:00:00 X"),
        *("Thu, 00 Jan 1970 00:00:00 +0000", "Thu, 30 Feb 1970 00:00:00 +0000"),
        *("Thu, 01 Jan 1970 24:00:00 +0000", "Thu, 01 Jan 1970 00:60:00 +0000"),
        *("Thu, 01 Jan 1970 00:00:61 +0000", "Thu, 01 Jan 1970 00:00:00 +0060"),
        *("Thu, 01 Jan 1970 00:00:00 +00000", "Thu, 01 Jan 0000 00:00:00 +0000"),
        *("Mon, 01 Jan 0001 00:00:00 +0001", "Fri, 31 Dec 9999 23:59:59 -0001"),
        *("Thu, 01 Jan 19700 00:00:00 +0000", "Thu, 01 Jan 1970 00:00:00 ++000"),
        *("Xyz, 01 Jan 1970 00:00:00 +0000", "Thu, 0\u0661 Jan 1970 00:00:00 +0000", "1e9", "NaN"),
        *("(" * 50 + ")" * 50, "\x00", "Thu, 01 Jan 1970 00:00:00 +0000\n\nX"),
    ],
)
def test_no_dates(text: str) -> None:
    with pytest.raises(BadVersion, match="last_modified"):
        parse_version(text)


@given(times)
def test_what_clients_send_comes_back(version_s: int) -> None:
    """By the standard library's two writers and its reader, which the stock client uses."""
    if version_s >= -59_011_459_200:  # before the year 100 it writes three digits
        assert parse_version(formatdate(version_s)) == version_s
        assert parse_version(formatdate(version_s, usegmt=True)) == version_s
    assert parse_version(format_version(version_s)) == version_s


@given(st.integers(-30_610_224_000, LAST_S))
def test_what_we_send_is_understood(version_s: int) -> None:
    """From the year 1000 on; the standard library takes earlier ones for others."""
    parsed = parsedate_tz(format_version(version_s))
    assert parsed is not None
    assert int(mktime_tz(parsed)) == version_s


@given(st.integers(-30_610_224_000, LAST_S - 90_000), st.integers(-14 * 60, 14 * 60))
def test_every_zone_is_normalised(version_s: int, offset_min: int) -> None:
    local = format_version(version_s + offset_min * 60).removesuffix("GMT")
    hours, minutes = divmod(abs(offset_min), 60)
    sign = "-" if offset_min < 0 else "+"
    assert parse_version(f"{local}{sign}{hours:02}{minutes:02}") == version_s


@given(st.text())
def test_no_text_does_harm(text: str) -> None:
    try:
        version_s = parse_version(text)
    except BadVersion:
        return
    assert FIRST_S <= version_s <= LAST_S
