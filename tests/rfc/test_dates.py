"""Dates against the standard library's, and what must not pass for a date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parparchik.rfc import (
    format_http_date,
    format_iso8601,
    parse_http_date,
    parse_iso8601,
    parse_iso8601_many,
)

_FIRST_S = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_LAST_S = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_NOVEMBER_1994_S = 784_111_777  # RFC 9110's example date

times = st.integers(_FIRST_S, _LAST_S)
recent_times = st.integers(0, int(datetime(2068, 12, 31, tzinfo=UTC).timestamp()))
two_digit_years = st.integers(
    int(datetime(1969, 1, 1, tzinfo=UTC).timestamp()),
    int(datetime(2068, 12, 31, tzinfo=UTC).timestamp()),
)


def _at(time_s: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms_of_rfc_9110(text: str) -> None:
    assert parse_http_date(text) == _NOVEMBER_1994_S


@given(recent_times)
def test_http_dates_are_written_as_the_standard_library_does(time_s: int) -> None:
    assert format_http_date(time_s) == formatdate(time_s, usegmt=True)


@given(times)
@example(_FIRST_S)
@example(_LAST_S)
def test_an_http_date_comes_back(time_s: int) -> None:
    text = format_http_date(time_s)
    assert parse_http_date(text) == time_s
    assert datetime.strptime(f"{text} +0000", "%a, %d %b %Y %H:%M:%S GMT %z") == _at(time_s)


@given(times)
def test_asctime_form(time_s: int) -> None:
    assert parse_http_date(_at(time_s).ctime()) == time_s


@given(two_digit_years)
def test_rfc_850_form_reads_the_century_as_posix_does(time_s: int) -> None:
    assert parse_http_date(_rfc_850(_at(time_s))) == time_s


@pytest.mark.parametrize(
    ("year", "digits", "meant"),
    [
        (2026, "76", 2076),  # exactly 50 years ahead: not more than 50
        (2026, "77", 1977),
        (2026, "26", 2026),
        (2026, "00", 2000),
        (1999, "00", 2000),
        (1999, "49", 2049),
        (1999, "50", 1950),
    ],
)
def test_rfc_850_years_over_50_ahead_are_past(year: int, digits: str, meant: int) -> None:
    now_s = datetime(year, 6, 1, tzinfo=UTC).timestamp()
    text = f"Sunday, 06-Nov-{digits} 08:49:37 GMT"
    assert _at(parse_http_date(text, now_s=now_s)).year == meant


@given(times)
@example(_FIRST_S)
@example(_LAST_S)
def test_an_iso_time_comes_back(time_s: int) -> None:
    text = format_iso8601(time_s)
    assert parse_iso8601(text) == time_s
    assert datetime.fromisoformat(text) == _at(time_s)


@given(times, st.integers(0, 999))
def test_iso_fractions_are_dropped(time_s: int, millisecond: int) -> None:
    whole = format_iso8601(time_s).removesuffix("Z")
    assert parse_iso8601(f"{whole}.{millisecond:03}Z") == time_s


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))))
)
def test_iso_offsets(then: datetime) -> None:
    expected_s = (then - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    assert parse_iso8601(then.isoformat()) == expected_s


def test_a_leap_second_is_the_next_minute() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == parse_iso8601("2017-01-01T00:00:00Z")
    assert parse_iso8601("2016-12-31T23:59:60Z") == parse_iso8601("2017-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "784111777",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1995 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 ٠٨:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:61:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 31-Feb-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 25:49:37 1994",
        "Sun Nov    08:49:37 1994",
    ],
)
def test_what_is_no_http_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_http_date(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-05",
        "2026-05-05 10:00:00Z",
        "2026-05-05T10:00:00",
        "2026-05-05T10:00Z",
        "2026-05-05T10:00:00.Z",
        "2026-05-05T10:00:00.0a0Z",
        "2026-05-05T10:00:00z",
        "2026-05-05T10:00:00Z ",
        "2026-05-05T10:00:00ZZ",
        "2026-05-05T24:00:00Z",
        "2026-05-05T10:60:00Z",
        "2026-05-05T10:00:61Z",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "0000-01-01T10:00:00Z",
        "+026-05-05T10:00:00Z",
        "2026-05-05T1_:00:00Z",
        "２０２６-05-05T10:00:00Z",
        "2026-05-05T10:00:00+24:00",
        "2026-05-05T10:00:00+0100",
        "Tue, 05 May 2026 10:00:00 GMT",
    ],
)
def test_what_is_no_iso_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_iso8601(text)


@pytest.mark.parametrize("form", [format_http_date, format_iso8601])
@pytest.mark.parametrize("time_s", [_FIRST_S - 1, _LAST_S + 1, 10**20, -(10**20)])
def test_times_beyond_the_calendar(form: Callable[[int], str], time_s: int) -> None:
    with pytest.raises(ValueError, match="calendar"):
        form(time_s)


@given(times, st.integers(0, 28), st.characters())
def test_one_character_off_is_refused_or_another_date(time_s: int, at: int, new: str) -> None:
    """An altered date either fails or means what its text says: nothing is read leniently."""
    for form, parse, weekday_end in (
        (format_http_date, parse_http_date, 3),
        (format_iso8601, parse_iso8601, 0),
    ):
        text = form(time_s)
        altered = text[:at] + new + text[at + 1 :]
        try:
            meant_s = parse(altered)
        except ValueError:
            continue
        if ":60" not in altered:
            assert form(meant_s)[weekday_end:] == altered[weekday_end:]


def _rfc_850(then: datetime) -> str:
    return f"{then:%A, %d-%b-%y %H:%M:%S} GMT"


@given(
    st.lists(
        st.one_of(
            st.integers(0, 2**35).map(format_iso8601),
            st.sampled_from(["2026-05-05T10:00:00.123Z", "2026-05-05T10:00:00+02:00"]),
        )
    )
)
def test_many_are_as_each(texts: list[str]) -> None:
    assert parse_iso8601_many(texts) == [parse_iso8601(text) for text in texts]


@pytest.mark.parametrize("junk", ["", "2026-05-05", "2026-02-30T10:00:00Z", "2026-05-05T10:00:00"])
def test_one_that_is_none_is_told(junk: str) -> None:
    with pytest.raises(ValueError, match=r"not an ISO 8601|day"):
        parse_iso8601_many(["2026-05-05T10:00:00Z", junk])
