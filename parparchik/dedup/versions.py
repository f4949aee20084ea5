"""Versions of files: times as RFC 2822 writes them, to whole seconds since 1970 UTC. Pure.

A zone is normalised to UTC; `-0000` says that the zone is not known, and the time is UTC all the
same (RFC 2822 section 3.3). Of what section 4.3 calls obsolete, two-digit years and names of zones
are understood. So are HTTP's three forms (RFC 9110 section 5.6.7), one of which we answer with.
"""

from __future__ import annotations

import re
from datetime import date
from types import MappingProxyType

from parparchik.errors import ClientError
from parparchik.rfc import format_http_date, parse_http_date

_LONGEST = 100  # characters; a date without comments has no more than 40
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ZONES = MappingProxyType(
    dict.fromkeys(("ut", "utc", "gmt", "z"), 0)
    | {"edt": -4, "est": -5, "cdt": -5, "cst": -6, "mdt": -6, "mst": -7, "pdt": -7, "pst": -8}
)
_DATE = re.compile(
    rf"(?:({'|'.join(_WEEKDAYS)})\s*,\s*)?([0-9]{{1,2}})\s+({'|'.join(_MONTHS)})\s+"
    r"([0-9]{2,4})\s+([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?\s+"
    # A plus that was not percent-encoded has come as one more space.
    rf"(?:([+-])?([0-9]{{2}})([0-5][0-9])|({'|'.join(_ZONES)}))"
)
_COMMENT = re.compile(r"\([^()\\]*\)")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST_S = (date.min.toordinal() - _EPOCH_DAY) * 86_400
_LAST_S = (date.max.toordinal() - _EPOCH_DAY + 1) * 86_400 - 1


class BadVersion(ClientError):
    """What should be the version of a file is missing, or no date."""


def parse_version(text: str) -> int:
    """Raises BadVersion. The first and the last second there is a way to write in UTC are those of
    the years 1 and 9999."""
    try:
        version_s = _parse(text)
        if _FIRST_S <= version_s <= _LAST_S:  # or nobody could be told of it
            return version_s
    except ValueError:
        pass
    raise BadVersion(f"last_modified: expected a date as in RFC 2822, not {text[:_LONGEST]!a}")


def format_version(version_s: int) -> str:
    """As a Last-Modified has it: `Thu, 01 Jan 1970 00:00:00 GMT`, which is RFC 2822's form too."""
    return format_http_date(version_s)


def _parse(text: str) -> int:
    if len(text) > _LONGEST or not text.isascii():
        raise ValueError
    plain = _COMMENT.sub(" ", text).strip()
    match = _DATE.fullmatch(plain.lower())
    if match is None:
        return parse_http_date(plain)
    _, day, month, year, hour, minute, second, sign, zone_h, zone_m, zone = match.groups()
    of_day_s = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:  # 60: a leap second
        raise ValueError
    offset_s = _ZONES[zone] * 3600 if zone else int(zone_h) * 3600 + int(zone_m) * 60
    if sign == "-":
        offset_s = -offset_s
    ordinal = date(_full_year(year), _MONTHS.index(month) + 1, int(day)).toordinal()
    return (ordinal - _EPOCH_DAY) * 86_400 + of_day_s - offset_s


def _full_year(digits: str) -> int:
    """RFC 2822 section 4.3: two digits are of 1950 to 2049, three are years after 1900."""
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if year < 50 and len(digits) == 2 else 1900)
