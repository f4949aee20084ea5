"""Which requests are kept, for how long, and how much of them."""

from __future__ import annotations

from parparchik.model import ObjectHead
from parparchik.s3.prepared import KEPT_LIFE_S, SIGNATURE_LIFE_S, PreparedRequests, Shelf
from parparchik.s3.sigv4 import Credentials

HEAD = ObjectHead(4, 1777975200, '"0123"')
ANSWER = b"HTTP/1.1 200 OK\r\nETag: %b\r\n\r\n"


class Bucket:
    """Counts how often each key was signed."""

    def __init__(self, shelf: Shelf) -> None:
        self.signed: list[str] = []
        self.credentials = Credentials("AKID", "secret")
        self.now_s = 1_770_000_000.0
        self.requests = PreparedRequests(
            self._sign, credentials=lambda: self.credentials, now=lambda: self.now_s, shelf=shelf
        )

    def _sign(self, key: str, credentials: Credentials, now_s: float) -> bytes:
        self.signed.append(key)
        return f"{key} {credentials.access_key_id} {now_s}".encode()

    def has(self, key: str) -> bool:
        """Whether nothing had to be signed for `key`, of which S3 then says that it is there."""
        before = len(self.signed)
        self.requests.get(key).learn(ANSWER % key.encode(), HEAD)
        return len(self.signed) == before


def test_what_is_not_there_is_not_kept() -> None:
    shelf = Shelf()
    bucket = Bucket(shelf)
    for _ in range(2):
        bucket.requests.get("unknown")
    assert bucket.signed == ["unknown"] * 2
    assert shelf.size_bytes == 0


def test_what_is_there_is_kept_even_if_its_answer_cannot_be_recognised() -> None:
    bucket = Bucket(Shelf())
    bucket.requests.get("k").keep()
    assert bucket.has("k")


def test_a_limit_for_all_buckets_together() -> None:
    shelf = Shelf(100_000)
    first, second = Bucket(shelf), Bucket(shelf)
    keys = [f"file-{number}" for number in range(50)]
    for bucket in (first, second):
        for key in keys:
            bucket.has(key)
    assert shelf.size_bytes > 50_000
    for number in range(1000):
        second.has(f"more-{number}")
        assert shelf.size_bytes <= 100_000
    assert not first.has(keys[0])
    assert not second.has(keys[0])
    assert second.has("more-999")


def test_what_was_signed_longest_ago_goes_first() -> None:
    bucket = Bucket(Shelf(10_000))
    keys = [f"file-{number:03}" for number in range(100)]
    for key in keys:
        bucket.has(key)
    kept = len([key for key in reversed(keys) if bucket.requests.get(key).kept_bytes])
    assert 5 < kept < 20
    assert all(bucket.has(key) for key in keys[-kept:])


def test_one_that_is_larger_than_the_limit() -> None:
    shelf = Shelf(10)
    bucket = Bucket(shelf)
    assert not bucket.has("k")
    assert not bucket.has("k")
    assert shelf.size_bytes == 0


def test_an_answer_that_changes_counts_once() -> None:
    shelf = Shelf()
    bucket = Bucket(shelf)
    prepared = bucket.requests.get("k")
    prepared.learn(ANSWER % b"1", HEAD)
    before = shelf.size_bytes
    prepared.learn(ANSWER % b"12", HEAD)
    assert shelf.size_bytes == before + 1
    prepared.keep()
    assert shelf.size_bytes == before + 1


def test_signed_anew_what_s3_said_is_still_known() -> None:
    bucket = Bucket(Shelf())
    bucket.has("k")
    bucket.now_s += SIGNATURE_LIFE_S
    prepared = bucket.requests.get("k")
    assert prepared.recognise(ANSWER % b"k") is HEAD
    assert prepared.request.endswith(str(bucket.now_s).encode())
    bucket.credentials = Credentials("OTHER", "secret")
    assert b"OTHER" in bucket.requests.get("k").request
    assert bucket.signed == ["k"] * 3


def test_what_is_not_asked_for_any_more_goes_without_haste() -> None:
    shelf = Shelf()
    bucket = Bucket(shelf)
    for number in range(100):
        bucket.has(f"old-{number}")
    full = shelf.size_bytes
    bucket.now_s += KEPT_LIFE_S
    bucket.has("new-0")
    assert full > shelf.size_bytes > full * 0.9, "a few at a time"
    for number in range(1, 100):
        bucket.has(f"new-{number}")
    assert shelf.size_bytes <= full, "and all of them in the end"
    assert bucket.has("new-0")
    assert not bucket.has("old-99")


def test_a_key_that_was_dropped_while_it_was_asked_for() -> None:
    shelf = Shelf(3_000)
    bucket = Bucket(shelf)
    under_way = bucket.requests.get("k")
    under_way.learn(ANSWER % b"k", HEAD)
    for number in range(10):
        bucket.has(f"file-{number}")
    again = bucket.requests.get("k")
    assert again is not under_way
    again.learn(ANSWER % b"k", HEAD)
    under_way.learn(ANSWER % b"k", HEAD)
    for number in range(10):
        bucket.has(f"more-{number}")
    assert not bucket.has("k")
    assert 0 < shelf.size_bytes <= 3_000


def test_dropped_and_kept_again_counts_again() -> None:
    shelf = Shelf(1_000)
    bucket = Bucket(shelf)
    first = bucket.requests.get("1")
    first.learn(ANSWER % b"1", HEAD)
    size_bytes = shelf.size_bytes
    assert not bucket.has("2")
    first.learn(ANSWER % b"1", HEAD)
    assert shelf.size_bytes == size_bytes
    assert bucket.has("1")
