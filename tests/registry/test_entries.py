"""The registry against a dict: whatever is done to it, it says what the dict says."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from parparchik.model import Bucket, Entry
from parparchik.registry import Registry
from parparchik.registry.entries import bucket_index, pack, pack_many, size_and_time

DAY_S = 86_400
WEEK_S, MONTH_S = 7 * DAY_S, 31 * DAY_S
START_S = 1_780_000_000
BUCKETS = (Bucket("one", public=True), Bucket("two"), Bucket("three"))
KEYS = ("a", "a/b", "b", "ключ", "z" * 100, "\U0001f600")

keys = st.sampled_from(KEYS)
indices = st.integers(0, len(BUCKETS) - 1)
sizes = st.sampled_from((0, 1, 2**31, 2**48))
ages = st.sampled_from((-3600, 0, 60, WEEK_S - 60, WEEK_S + 60, MONTH_S - 60, MONTH_S + 60))
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


class RegistryMachine(RuleBasedStateMachine):
    taken = Bundle("taken")

    @initialize()
    def begin(self) -> None:
        self.now_s = START_S
        self.registry = Registry(BUCKETS, self.now_s)
        self.model: dict[str, int] = {}
        self.duplicates: set[str] = set()
        self.removed: list[set[str]] = [set() for _ in BUCKETS]
        self.seen: dict[tuple[int, int], frozenset[tuple[str, int]]] = {}

    def _put(self, key: str, packed: int) -> None:
        old = self.model.get(key)
        if old is not None and bucket_index(old) != bucket_index(packed):
            self.removed[bucket_index(old)].add(key)
        self.model[key] = packed
        self.removed[bucket_index(packed)].discard(key)

    @rule(key=keys, index=indices, size=sizes, age_s=ages)
    def put(self, key: str, index: int, size: int, age_s: int) -> None:
        packed = pack(index, size, self.now_s - age_s)
        assert self.registry.put(key, packed) == (self.model.get(key) != packed)
        self._put(key, packed)

    @rule(key=keys)
    def discard(self, key: str) -> None:
        old = self.model.pop(key, None)
        assert self.registry.discard(key) == (old is not None)
        if old is not None:
            self.removed[bucket_index(old)].add(key)
            self.duplicates.discard(key)

    @rule(index=indices, rows=st.lists(st.tuples(keys, sizes, ages), max_size=6))
    def load(self, index: int, rows: list[tuple[str, int, int]]) -> None:
        packed_rows = [(key, pack(index, size, self.now_s - age)) for key, size, age in rows]
        self.registry.load(index, packed_rows)
        for key, packed in packed_rows:
            old = self.model.get(key)
            if old is None or index < bucket_index(old):
                self._put(key, packed)

    @rule(key=keys, duplicate=st.booleans())
    def set_duplicate(self, key: str, duplicate: bool) -> None:
        self.registry.set_duplicate(key, duplicate)
        (self.duplicates.add if duplicate else self.duplicates.discard)(key)

    @rule(target=taken, index=indices)
    def take_removed(self, index: int) -> tuple[int, set[str]]:
        removed = self.registry.take_removed(index)
        assert removed == self.removed[index]
        self.removed[index] = set()
        return index, removed

    @rule(given_back=consumes(taken))
    def restore_removed(self, given_back: tuple[int, set[str]]) -> None:
        index, removed = given_back
        self.registry.restore_removed(index, removed)
        for key in removed:
            if bucket_index(self.model.get(key, 0xFF)) != index:
                self.removed[index].add(key)

    @rule(seconds=st.sampled_from((60, DAY_S, 8 * DAY_S)))
    def time_passes(self, seconds: int) -> None:
        self.now_s += seconds

    @invariant()
    def says_what_the_model_says(self) -> None:
        registry, model = self.registry, self.model
        assert len(registry) == len(model)
        for key in KEYS:
            assert registry.packed(key) == model.get(key)
        assert sorted(row for rows in registry.slices() for row in rows) == sorted(model.items())
        for index in range(len(BUCKETS)):
            assert all(
                registry.was_removed(key, index) == (key in self.removed[index]) for key in KEYS
            )

    @invariant()
    def counts(self) -> None:
        times = [size_and_time(packed)[1] for packed in self.model.values()]
        statistics = self.registry.statistics(self.now_s)
        assert statistics.files == tuple(
            (bucket.name, sum(bucket_index(packed) == n for packed in self.model.values()))
            for n, bucket in enumerate(BUCKETS)
        )
        assert statistics.duplicates == len(self.duplicates)
        assert statistics.week == sum(t // 60 >= (self.now_s - WEEK_S) // 60 for t in times)
        assert statistics.month == sum(t // 60 >= (self.now_s - MONTH_S) // 60 for t in times)

    @invariant()
    def digests_tell_contents_apart(self) -> None:
        for index in range(len(BUCKETS)):
            content = frozenset(r for r in self.model.items() if bucket_index(r[1]) == index)
            digest = self.registry.digest(index)
            assert self.seen.setdefault((index, digest), content) == content
            again = Registry(BUCKETS)
            again.load(index, sorted(content))
            assert again.digest(index) == digest


RegistryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestRegistry = RegistryMachine.TestCase


@given(st.integers(0, 255), st.integers(0, 2**60), st.integers(-(2**40), 2**40))
def test_an_entry_is_one_integer_and_comes_apart_again(index: int, size: int, time_s: int) -> None:
    packed = pack(index, size, time_s)
    assert bucket_index(packed) == index
    kept_size, kept_time_s = min(size, 2**48 - 1), time_s if 0 <= time_s < 2**34 else 0
    assert size_and_time(packed) == (kept_size, kept_time_s)
    assert pack_many(index, ["k"], [size], [time_s]) == [("k", packed)]


def test_an_entry_tells_its_bucket_size_time_and_route() -> None:
    registry = Registry(BUCKETS)
    registry.put("x y", pack(1, 7, START_S))
    assert registry.get("x y") == Entry("x y", BUCKETS[1], 7, START_S)
    assert [entry.route for batch in registry.sorted_batches() for entry in batch] == ["/two/x y"]
    assert registry.get("x") is None


packed_values = st.builds(pack, st.just(0), st.integers(0, 2**48 - 1), st.integers(0, 2**34 - 1))


@given(packed_values, packed_values)
@example(pack(0, 1000, START_S), pack(0, 999, START_S + 8192))  # hash() takes them for the same
def test_a_digest_shows_every_change_of_an_entry(before: int, after: int) -> None:
    registry = Registry(BUCKETS)
    registry.put("k", before)
    digest = registry.digest(0)
    registry.put("k", after)
    assert (registry.digest(0) == digest) == (before == after)


def test_a_registry_has_up_to_256_buckets() -> None:
    assert len(Registry([])) == 0
    assert len(Registry([Bucket(f"b{n}") for n in range(256)])) == 0
    with pytest.raises(ValueError, match="up to 256 buckets"):
        Registry([Bucket(f"b{n}") for n in range(257)])


@given(st.lists(any_text, unique=True, max_size=60))
def test_sorted_slices_go_by_utf8_bytes(names: list[str]) -> None:
    registry = Registry(BUCKETS)
    registry.load(0, [(name, pack(0, 1, 1)) for name in names])
    listed = [key for rows in registry.sorted_slices() for key, _ in rows]
    assert listed == sorted(names, key=str.encode)


def test_slices_are_small_enough_to_let_others_run() -> None:
    registry = Registry(BUCKETS)
    registry.load(0, [(f"k{n}", pack(0, n, 1)) for n in range(30_000)])
    assert max(len(rows) for rows in registry.sorted_slices()) <= 1000
    assert max(len(rows) for rows in registry.slices()) < 1000
    assert sum(len(rows) for rows in registry.slices()) == 30_000


@given(st.data())
@settings(max_examples=30)
def test_the_registry_may_change_between_two_sorted_slices(data: st.DataObject) -> None:
    registry = Registry(BUCKETS)
    before = {f"{n:05}" for n in range(3000)}
    registry.load(0, [(key, pack(0, 1, 1)) for key in before])
    slices = registry.sorted_slices()
    listed: list[tuple[str, int]] = []
    removed, changed, added = set(), set(), set()
    while True:
        rows = next(slices, None)
        if rows is None:
            break
        listed += rows
        if rows:
            n = data.draw(st.integers(0, 2999))
            registry.discard(f"{n:05}")
            removed.add(f"{n:05}")
            registry.put(f"{n:05}+", pack(1, 1, 1))
            added.add(f"{n:05}+")
            if registry.packed(changing := f"{2999 - n:05}") is not None:
                registry.put(changing, pack(2, 9, 9))
                changed.add(changing)
    told = [key for key, _ in listed]
    assert told == sorted(told)
    assert len(told) == len(set(told))
    assert before - removed <= set(told) <= before | added
    assert all(packed == pack(0, 1, 1) for key, packed in listed if key not in changed)


class Counted(str):
    """A key that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0

    def __lt__(self, other: str) -> bool:
        Counted.comparisons += 1
        return str.__lt__(self, other)


@pytest.mark.parametrize("order", ["sorted", "backwards", "as it comes"])
def test_between_two_slices_there_is_never_much_to_sort(order: str) -> None:
    names = [Counted(f"{n:06}") for n in range(50_000)]
    if order == "backwards":
        names.reverse()
    elif order == "as it comes":
        Random(1).shuffle(names)
    registry = Registry(BUCKETS)
    registry.load(0, [(name, pack(0, 1, 1)) for name in names])
    slices, work = registry.sorted_slices(), []
    Counted.comparisons = 0
    while next(slices, None) is not None:
        work.append(Counted.comparisons)
        Counted.comparisons = 0
    # A range of a thousand keys or a few takes some 12 comparisons a key.
    assert max(work) < 100_000
