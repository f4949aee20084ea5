"""Cache-Control, and how long a shared cache may go on: RFC 9111."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.rfc import (
    CacheControl,
    format_http_date,
    freshness_lifetime_s,
    may_be_shared,
    parse_age,
    parse_cache_control,
)
from parparchik.rfc.cache_control import FOREVER_S

NOW_S = 1_780_000_000

DIRECTIVES = {
    "": CacheControl(),
    "max-age=60": CacheControl(max_age_s=60),
    "Max-Age=60, Public": CacheControl(max_age_s=60, public=True),
    'max-age="60"': CacheControl(max_age_s=60),
    "s-maxage=5,max-age=60": CacheControl(s_maxage_s=5, max_age_s=60),
    "no-store": CacheControl(no_store=True),
    'private, community="UCI"': CacheControl(private=True),
    'private="x-a, max-age=5", max-age=7': CacheControl(private=True, max_age_s=7),
    'no-cache="set-cookie"': CacheControl(no_cache=True),
    "no-cache, no-store, must-revalidate": CacheControl(
        no_cache=True, no_store=True, must_revalidate=True
    ),
    "proxy-revalidate": CacheControl(proxy_revalidate=True),
    "immutable,no-transform": CacheControl(immutable=True, no_transform=True),
    "max-age=600, stale-while-revalidate=30, stale-if-error=1200": CacheControl(
        max_age_s=600, stale_while_revalidate_s=30, stale_if_error_s=1200
    ),
    "max-age=1, max-age=2": CacheControl(max_age_s=1),
    "max-age": CacheControl(max_age_s=0),
    "max-age=-1": CacheControl(max_age_s=0),
    "max-age=1.5": CacheControl(max_age_s=0),
    "max-age=1h": CacheControl(max_age_s=0),
    "max-age=99999999999999999999": CacheControl(max_age_s=FOREVER_S),
    "max-age=" + "9" * 5000: CacheControl(max_age_s=FOREVER_S),
    "max-age=0000000000000000000060": CacheControl(max_age_s=60),
    ",, no-store ,": CacheControl(no_store=True),
    "no-store-at-all": CacheControl(),
    'a="b, no-store", public': CacheControl(public=True),
    'a="b\\", no-store", public': CacheControl(public=True),
    'a="b, no-store': CacheControl(no_store=True),
    "(junk), no-store": CacheControl(no_store=True),
    "no-store public": CacheControl(),
}


@pytest.mark.parametrize("text", DIRECTIVES)
def test_directives(text: str) -> None:
    assert parse_cache_control(text) == DIRECTIVES[text]


LIFETIMES = [
    ("", "", None),
    ("public", "", None),
    ("max-age=60", "", 60),
    ("max-age=60, s-maxage=5", "", 5),
    ("s-maxage=0, max-age=60", "", 0),
    ("max-age=0", "", 0),
    ("", format_http_date(NOW_S + 100), 100),
    ("", format_http_date(NOW_S - 100), 0),
    ("", " " + format_http_date(NOW_S + 100), 100),
    ("", "0", 0),
    ("", "-1", 0),
    ("", "Fri, 31 Dec 9999 23:59:59 GMT", FOREVER_S),
    ("max-age=60", format_http_date(NOW_S + 100), 60),
    ("max-age=junk", format_http_date(NOW_S + 100), 0),
    ("no-cache, max-age=60", "", 0),
    ("no-store, max-age=60", "", 0),
    ("private, max-age=60", "", 0),
]


@pytest.mark.parametrize(("control", "expires", "lifetime_s"), LIFETIMES)
def test_lifetimes(control: str, expires: str, lifetime_s: int | None) -> None:
    assert freshness_lifetime_s(parse_cache_control(control), expires, NOW_S) == lifetime_s


@pytest.mark.parametrize(
    ("control", "shared", "forbids_stale"),
    [
        ("", True, False),
        ("max-age=60", True, False),
        ("no-store", False, False),
        ("private", False, False),
        ("no-cache", True, True),
        ("must-revalidate", True, True),
        ("proxy-revalidate", True, True),
        ("s-maxage=60", True, True),
        ("stale-if-error=60", True, False),
    ],
)
def test_what_a_shared_cache_may_do(control: str, shared: bool, forbids_stale: bool) -> None:
    parsed = parse_cache_control(control)
    assert may_be_shared(parsed) is shared
    assert parsed.forbids_stale is forbids_stale


@pytest.mark.parametrize(
    ("text", "age_s"),
    [("", 0), ("0", 0), ("60", 60), ("60, 5", 60), (" 7 ", 7), ("-1", 0), ("x", 0)],
)
def test_age(text: str, age_s: int) -> None:
    assert parse_age(text) == age_s
    assert parse_age("9" * 5000) == FOREVER_S


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_nothing_raises(control: str, expires: str) -> None:
    lifetime_s = freshness_lifetime_s(parse_cache_control(control), expires, NOW_S)
    assert lifetime_s is None or 0 <= lifetime_s <= FOREVER_S
    assert parse_age(control) >= 0


@pytest.mark.parametrize("part", [", ", ",", "\t,", 'a=",', 'a="\\",', "a ;,", 'a="'])
def test_a_long_one_takes_no_time(part: str) -> None:
    """Whoever stores objects writes it. With a pattern that goes back, these take minutes."""
    begun_s = time.process_time()
    parse_cache_control(part * (64_000 // len(part)) + ";")
    assert time.process_time() - begun_s < 2


_names = st.sampled_from(["no-store", "no-cache", "private", "x", "max-age=5", 'y="a, b"'])


@given(st.lists(_names), st.sampled_from([",", ", ", " , ", ",,"]))
def test_the_order_does_not_matter(names: list[str], separator: str) -> None:
    parsed = parse_cache_control(separator.join(names))
    assert parsed == parse_cache_control(separator.join(reversed(names)))
    assert parsed.no_store == ("no-store" in names)
    assert parsed.max_age_s == (5 if "max-age=5" in names else None)
