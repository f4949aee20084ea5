"""Token buckets, against one that counts tokens; and who is whose client."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.access import RateLimiter, TrustedProxies
from parparchik.access.rate import MAX_CLIENTS, TokenBuckets
from parparchik.config.model import AuthConfig, LimitsConfig
from parparchik.routes import Authenticator

PROXY = "10.0.0.1"
KEY = b"a-key-that-is-known"


class Counted:
    """A bucket that is filled and emptied, exactly."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self.tokens, self.at_s = Fraction(burst), Fraction(0)

    def take(self, now_s: Fraction) -> Fraction:
        self.tokens = min(self.tokens + (now_s - self.at_s) * self.per_second, Fraction(self.burst))
        self.at_s = now_s
        if self.tokens >= 1:
            self.tokens -= 1
            return Fraction(0)
        return (1 - self.tokens) / self.per_second


@given(
    st.sampled_from([1, 2, 4, 64, 1024]),
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3000)), max_size=80),
)
def test_it_gives_what_a_counted_bucket_gives(
    per_second: int, burst: int, requests: list[tuple[str, int]]
) -> None:
    # Whole 1,024ths of a second and rates that are powers of two: every sum is exact.
    buckets = TokenBuckets(per_second, burst)
    counted = {client: Counted(per_second, burst) for client in "ab"}
    now_s = Fraction(0)
    for client, pause in requests:
        now_s += Fraction(pause, 1024)
        assert buckets.take(client, float(now_s)) == counted[client].take(now_s)


@given(
    st.floats(0.01, 100_000),
    st.integers(1, 1000),
    st.floats(0, 1e7),
    st.lists(st.floats(0, 1), max_size=60),
)
def test_whoever_waits_as_long_as_told_has_a_token(
    per_second: float, burst: int, now_s: float, pauses: list[float]
) -> None:
    buckets = TokenBuckets(per_second, burst)
    for _ in range(burst):
        assert buckets.take("a", now_s) == 0
    for pause in pauses:
        now_s += pause
        wait_s = buckets.take("a", now_s)
        assert 0 <= wait_s <= 1.01 / per_second
        if wait_s:
            now_s += wait_s
            assert buckets.take("a", now_s) == 0


def test_clients_are_bounded_and_those_who_ask_are_not_forgotten() -> None:
    buckets = TokenBuckets(1, 1)
    assert buckets.take("busy", 0) == 0
    for number in range(MAX_CLIENTS + 10):
        assert buckets.take(str(number), 0) == 0
        if number % 1000 == 0:
            assert buckets.take("busy", 0) == 1
    assert len(buckets) == MAX_CLIENTS
    assert buckets.take("busy", 0) == 1
    assert buckets.take("0", 0) == 0  # forgotten


def limiter(requests_per_second: float = 1, burst: int = 1, *, keys: bool = True) -> RateLimiter:
    return RateLimiter(
        LimitsConfig(requests_per_second, burst),
        TrustedProxies([PROXY]),
        Authenticator(AuthConfig((KEY.decode(),) if keys else ())),
        now=lambda: 7.0,
    )


def same_client(
    one: tuple[str, bytes, bytes], other: tuple[str, bytes, bytes], *, keys: bool = True
) -> bool:
    limits = limiter(keys=keys)
    assert limits.refuse(*one) is None
    return limits.refuse(*other) is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("192.0.2.1", b"", b""), ("192.0.2.1", b"", b""), True),
        (("192.0.2.1", b"", b""), ("192.0.2.2", b"", b""), False),
        (("2001:db8::1", b"", b""), ("2001:db8::ffff:2", b"", b""), True),
        (("2001:db8::1", b"", b""), ("2001:db8:0:1::1", b"", b""), False),
        (("::ffff:192.0.2.1", b"", b""), ("192.0.2.1", b"", b""), True),
        (("::ffff:192.0.2.1", b"", b""), ("::ffff:192.0.2.2", b"", b""), False),
        (("192.0.2.1", KEY, b""), ("192.0.2.2", KEY, b""), True),
        (("192.0.2.1", KEY, b""), ("192.0.2.1", b"", b""), False),
        (("192.0.2.1", b"made up", b""), ("192.0.2.1", b"another", b""), True),
        ((PROXY, b"", b"192.0.2.1"), (PROXY, b"", b"192.0.2.2"), False),
        ((PROXY, b"", b"192.0.2.1"), ("192.0.2.1", b"", b""), True),
        (("192.0.2.9", b"", b"192.0.2.1"), ("192.0.2.9", b"", b"192.0.2.2"), True),
        ((PROXY, b"", b"1.1.1.1, 192.0.2.1"), (PROXY, b"", b"2.2.2.2, 192.0.2.1"), True),
        (("", b"", b""), ("", b"", b""), True),
    ],
)
def test_who_is_one_client(
    one: tuple[str, bytes, bytes], other: tuple[str, bytes, bytes], same: bool
) -> None:
    assert same_client(one, other) is same


def test_without_keys_in_the_settings_none_makes_a_client() -> None:
    assert same_client(("192.0.2.1", b"x", b""), ("192.0.2.1", b"y", b""), keys=False)


@pytest.mark.parametrize(
    ("per_second", "burst", "allowed", "retry_after"),
    [(3, 0, 3, b"1"), (0.1, 0, 1, b"10"), (10, 25, 25, b"1"), (0.75, 2, 2, b"2")],
)
def test_the_refusal_says_when_to_come_again(
    per_second: float, burst: int, allowed: int, retry_after: bytes
) -> None:
    limits = limiter(per_second, burst)
    for _ in range(allowed):
        assert limits.refuse("192.0.2.1", b"", b"") is None
    refusal = limits.refuse("192.0.2.1", b"", b"")
    assert refusal is not None
    assert refusal.status == 429
    assert dict(refusal.headers) == {
        b"content-type": b"application/json",
        b"cache-control": b"no-store",
        b"retry-after": retry_after,
    }
    assert refusal.body == b'{"error":"too many requests"}'
