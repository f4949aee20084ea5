"""Dates as HTTP and S3 write them, to whole seconds since 1970 UTC and back.

A registry of a million entries reads a million dates when it starts, nearly all from a few hundred
days. So the day is worked out once and remembered, and the time of day is looked up in two small
tables, which at the same time refuse whatever is no time. Every date function raises ValueError
for what is not a date; the message quotes no more than the date itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

_DAY_S = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()

# "10:15" and ":30" to seconds. Second 60 is a leap second (RFC 9110 section 5.6.7, RFC 3339
# section 5.7); as in POSIX it counts as the first second of the next minute.
_HH_MM = {f"{h:02}:{m:02}": h * 3600 + m * 60 for h in range(24) for m in range(60)}
_SS = {f":{s:02}": s for s in range(61)}
_SS_Z = {f"{ss}Z": s for ss, s in _SS.items()}
_TIMES_OF_DAY = tuple(_HH_MM)
_SECONDS = tuple(_SS)

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WDAY = tuple(name[:3] for name in _WEEKDAYS)
_MON = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_MON, start=1)}

_TIME = r"(?P<hh_mm>[0-9]{2}:[0-9]{2})(?P<ss>:[0-9]{2})"
_IMF_DAY = re.compile(rf"(?:{'|'.join(_WDAY)}), ([0-9]{{2}}) ({'|'.join(_MON)}) ([0-9]{{4}}) ")
_RFC850 = re.compile(
    rf"(?:{'|'.join(_WEEKDAYS)}), (?P<day>[0-9]{{2}})-(?P<month>{'|'.join(_MON)})-"
    rf"(?P<year>[0-9]{{2}}) {_TIME} GMT"
)
_ASCTIME = re.compile(
    rf"(?:{'|'.join(_WDAY)}) (?P<month>{'|'.join(_MON)}) (?P<day>[ 0-9][0-9]) {_TIME} "
    r"(?P<year>[0-9]{4})"
)
_ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T")
_ISO_ZONE = re.compile(r"(?:\.[0-9]+)?(?:Z|([+-])([0-9]{2}:[0-9]{2}))")


def parse_http_date(text: str, *, now_s: float | None = None) -> int:
    """An HTTP-date in any of its three forms (RFC 9110 section 5.6.7).

    The weekday must be one, but need not be the right one. A two-digit year (RFC 850 form) that
    would lie more than 50 years after `now_s` is taken for the last past year with these digits;
    without `now_s`, 69 to 99 are read as 1969 to 1999, as POSIX does.
    """
    try:
        if text[25:] == " GMT":
            return _imf_day_s(text[:17]) + _HH_MM[text[17:22]] + _SS[text[22:25]]
        return _obsolete_http_date_s(text, now_s)
    except KeyError:
        raise ValueError(f"not an HTTP date: {text!r:.80}") from None


def format_http_date(time_s: int) -> str:
    """IMF-fixdate, the one form that may be sent: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    day, second = divmod(time_s, _DAY_S)
    return f"{_imf_day(day)} {_TIMES_OF_DAY[second // 60]}{_SECONDS[second % 60]} GMT"


def parse_iso8601(text: str) -> int:
    """A time as S3 and its relatives write it: `2026-05-05T10:00:00.000Z`.

    The fraction is optional and dropped; a numeric offset may stand for the Z (RFC 3339).
    """
    try:
        time_s = _iso_day_s(text[:11]) + _HH_MM[text[11:16]] + _SS[text[16:19]]
    except KeyError:
        raise ValueError(f"not an ISO 8601 time: {text!r:.80}") from None
    return time_s - _iso_offset_s(text[19:])


def parse_iso8601_many(texts: Sequence[str]) -> list[int]:
    """`parse_iso8601` of each, in half the time where all are as `format_iso8601` writes them."""
    days, hh_mm, ss_z = _ISO_DAYS, _HH_MM, _SS_Z
    try:
        return [days[text[:11]] + hh_mm[text[11:16]] + ss_z[text[16:]] for text in texts]
    except KeyError:
        return [parse_iso8601(text) for text in texts]


def format_iso8601(time_s: int) -> str:
    """`2026-05-05T10:00:00Z`, the form of manifests and of the management API."""
    day, second = divmod(time_s, _DAY_S)
    return f"{_iso_day(day)}T{_TIMES_OF_DAY[second // 60]}{_SECONDS[second % 60]}Z"


def _day_s(year: int, month: int, day: int) -> int:
    """Seconds from 1970 to the start of a day; ValueError for the 30th of February."""
    return (date(year, month, day).toordinal() - _EPOCH_DAY) * _DAY_S


def _obsolete_http_date_s(text: str, now_s: float | None) -> int:
    """The forms of RFC 850 and asctime(). Raises KeyError for an hour or second that is none."""
    found = _RFC850.fullmatch(text) or _ASCTIME.fullmatch(text)
    if not found:
        raise ValueError(f"not an HTTP date: {text!r:.80}")
    year = int(found["year"])
    if len(found["year"]) == 2:
        year = _full_year(year, now_s)
    day_s = _day_s(year, _MONTHS[found["month"]], int(found["day"]))
    return day_s + _HH_MM[found["hh_mm"]] + _SS[found["ss"]]


def _full_year(two_digits: int, now_s: float | None) -> int:
    if now_s is None:
        return two_digits + (1900 if two_digits >= 69 else 2000)
    this_year = _date_of_day(int(now_s // _DAY_S)).year
    year = this_year - this_year % 100 + 100 + two_digits
    while year > this_year + 50:
        year -= 100
    return year


@lru_cache(maxsize=4096)
def _imf_day_s(text: str) -> int:
    found = _IMF_DAY.fullmatch(text)
    if not found:
        raise ValueError(f"not an HTTP date: {text!r:.80}")
    return _day_s(int(found[3]), _MONTHS[found[2]], int(found[1]))


class _Days(dict[str, int]):
    """What `_iso_day_s` gives, without the call."""

    def __missing__(self, text: str) -> int:
        if len(self) >= _DAYS_MAX:
            self.clear()
        day_s = self[text] = _iso_day_s(text)
        return day_s


_DAYS_MAX = 16_384
_ISO_DAYS = _Days()


@lru_cache(maxsize=16384)
def _iso_day_s(text: str) -> int:
    found = _ISO_DAY.fullmatch(text)
    if not found:
        raise ValueError(f"not an ISO 8601 time: {text!r:.80}")
    return _day_s(int(found[1]), int(found[2]), int(found[3]))


@lru_cache(maxsize=2048)  # the thousand milliseconds of a server that writes them, and some more
def _iso_offset_s(text: str) -> int:
    found = _ISO_ZONE.fullmatch(text)
    if not found:
        raise ValueError(f"not an ISO 8601 time zone: {text!r:.80}")
    sign, offset = found.groups()
    if not sign:
        return 0
    if offset not in _HH_MM:
        raise ValueError(f"not an ISO 8601 time zone: {text!r:.80}")
    return _HH_MM[offset] if sign == "+" else -_HH_MM[offset]


def _date_of_day(day: int) -> date:
    try:
        return date.fromordinal(day + _EPOCH_DAY)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"day {day} after 1970 lies beyond the calendar") from error


@lru_cache(maxsize=4096)
def _imf_day(day: int) -> str:
    then = _date_of_day(day)
    return f"{_WDAY[then.weekday()]}, {then.day:02} {_MON[then.month - 1]} {then.year:04}"


@lru_cache(maxsize=16384)
def _iso_day(day: int) -> str:
    return _date_of_day(day).isoformat()
