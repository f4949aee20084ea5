"""The registry: which file is in which bucket.

A million entries must fit (at most 250 bytes each) and nothing here may stall the event loop, so:

* An entry is a key and one integer. The integer packs the size, the time of last modification
  and the bucket's index; an `Entry` is made only when somebody asks for one.
* Entries live in shards by the key's hash. Whoever walks the registry takes one shard at a time
  and lets others run in between; a shard is small enough to be copied at once.
* Per bucket, the registry keeps a digest of its content that every change updates in O(1): the
  exclusive or of the entries' hashes and values. Equal digests mean equal content (up to a
  64-bit collision), so the manifest writer knows without encoding anything whether there is
  something to write, and a change that was undone again costs no write. The values are there
  because CPython's hash of an integer is its remainder by 2**61 - 1, by which neighbouring
  sizes and times do collide; so another value of one entry always shows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from parparchik.model import Bucket, Entry
from parparchik.registry.recency import MONTH_S, WEEK_S, Recency

MAX_BUCKETS = 256
REMOVED_MAX = 100_000  # removals remembered for one bucket until its manifest is written

_SHARDS = 1024
_SHARD_MASK = _SHARDS - 1
_BUCKET_MASK = 0xFF
_SIZE_SHIFT = 8
_SIZE_MASK = (1 << 48) - 1  # 281 TB; S3's largest objects are far below
_TIME_SHIFT = 56
_TIME_MAX = (1 << 34) - 1  # in the year 2514
_BATCH = 1000
_OVERSAMPLING = 4  # keys looked at for each bound, so that no range is far from the others


def pack(index: int, size_bytes: int, last_modified_s: int) -> int:
    """The value of an entry: time, size and bucket index in one integer of three digits (of
    CPython's 30 bits). A time outside 1970..2514 becomes 1970, a size above 2**48 - 1 that."""
    if not 0 <= last_modified_s <= _TIME_MAX:
        last_modified_s = 0
    return last_modified_s << _TIME_SHIFT | min(size_bytes, _SIZE_MASK) << _SIZE_SHIFT | index


def pack_many(
    index: int, keys: Sequence[str], sizes: Sequence[int], times: Sequence[int]
) -> list[tuple[str, int]]:
    """(key, packed) of each, in half the time that `pack` takes."""
    if keys and (min(times) < 0 or max(times) > _TIME_MAX or max(sizes) > _SIZE_MASK):
        each = zip(keys, sizes, times, strict=True)
        return [(key, pack(index, size, time)) for key, size, time in each]
    return [
        (key, time << _TIME_SHIFT | size << _SIZE_SHIFT | index)
        for key, size, time in zip(keys, sizes, times, strict=True)
    ]


def bucket_index(packed: int) -> int:
    return packed & _BUCKET_MASK


def size_and_time(packed: int) -> tuple[int, int]:
    """(size in bytes, last modification in seconds since 1970)."""
    return packed >> _SIZE_SHIFT & _SIZE_MASK, packed >> _TIME_SHIFT


@dataclass(frozen=True, slots=True)
class RegistryStatistics:
    """`files` has every bucket, empty ones too, in priority order."""

    files: tuple[tuple[str, int], ...]
    duplicates: int
    week: int
    month: int


def _shard() -> dict[str, int]:
    """An empty shard, which has once had a key that was no text: CPython then keeps the hashes of
    its keys beside them and need not fetch every key from memory when the shard grows. That is a
    sixth of the time of loading a million entries, for 12 bytes each."""
    shard: dict[str | None, int] = {None: 0}
    del shard[None]
    return cast("dict[str, int]", shard)


class Registry:
    """Entries by key. A key is in one bucket: the one of highest priority known to have it.

    No I/O and no clock; not thread-safe.
    """

    def __init__(self, buckets: Sequence[Bucket], now_s: float = 0.0) -> None:
        if len(buckets) > MAX_BUCKETS:
            raise ValueError(f"a registry has up to {MAX_BUCKETS} buckets, not {len(buckets)}")
        self.buckets = tuple(buckets)
        self.duplicates: set[str] = set()  # keys that more than one bucket has
        # Told of every key whose entry was set, changed or removed; it may be told of others.
        self.on_change: Callable[[Iterable[str]], object] | None = None
        self._shards = [_shard() for _ in range(_SHARDS)]
        self._counts = [0] * len(buckets)
        self._digests = [0] * len(buckets)
        # Keys that left a bucket since its manifest was last written: a merge must not bring
        # them back from what another process wrote.
        self._removed: list[set[str]] = [set() for _ in buckets]
        self._recency = Recency(now_s)

    def __len__(self) -> int:
        return sum(self._counts)

    def packed(self, key: str) -> int | None:
        return self._shards[hash(key) & _SHARD_MASK].get(key)

    def get(self, key: str) -> Entry | None:
        packed = self.packed(key)
        return None if packed is None else self.entry(key, packed)

    def entry(self, key: str, packed: int) -> Entry:
        size_bytes, last_modified_s = size_and_time(packed)
        return Entry(key, self.buckets[bucket_index(packed)], size_bytes, last_modified_s)

    def put(self, key: str, packed: int) -> bool:
        """Set an entry; whether that changed anything."""
        shard = self._shards[hash(key) & _SHARD_MASK]
        old = shard.get(key)
        if old == packed:
            return False
        index = packed & _BUCKET_MASK
        if old is not None:
            self._account(key, old, -1)
            if old & _BUCKET_MASK != index:
                self._removed[old & _BUCKET_MASK].add(key)
        shard[key] = packed
        self._account(key, packed, 1)
        self._removed[index].discard(key)
        if self.on_change is not None:
            self.on_change((key,))
        return True

    def discard(self, key: str) -> bool:
        """Remove an entry; whether it was there."""
        old = self._shards[hash(key) & _SHARD_MASK].pop(key, None)
        if old is None:
            return False
        self._account(key, old, -1)
        self._removed[old & _BUCKET_MASK].add(key)
        self.duplicates.discard(key)
        if self.on_change is not None:
            self.on_change((key,))
        return True

    def load(self, index: int, rows: Iterable[tuple[str, int]]) -> tuple[int, int]:
        """Add what one bucket's manifest says, `rows` being (key, packed) of bucket `index`;
        returns how many entries that made, and their digest.

        Where two buckets claim a key, the one of higher priority has it; an entry that the
        bucket has already stays as it is. Several times as fast as `put` for new keys.
        """
        shards, recent = self._shards, pack(0, 0, self._recency.floor_s)
        if self.on_change is not None:
            rows = list(rows)
        count = digest = taken = digest_taken = 0
        for row in rows:
            key, packed = row
            shard = shards[hash(key) & _SHARD_MASK]
            if key not in shard:
                shard[key] = packed
                count += 1
                digest ^= hash(row) ^ packed
                if packed >= recent:
                    self._recency.add(packed >> _TIME_SHIFT, 1)
            elif index < shard[key] & _BUCKET_MASK:
                self.put(key, packed)
                taken += 1
                digest_taken ^= hash(row) ^ packed
        self._counts[index] += count
        self._digests[index] ^= digest
        if self._removed[index]:
            self._removed[index] = {k for k in self._removed[index] if not self._is_in(k, index)}
        if count and self.on_change is not None:
            self.on_change(key for key, _ in rows)
        return count + taken, digest ^ digest_taken

    def set_duplicate(self, key: str, duplicate: bool) -> None:
        if duplicate:
            self.duplicates.add(key)
        else:
            self.duplicates.discard(key)

    def _account(self, key: str, packed: int, change: int) -> None:
        index = packed & _BUCKET_MASK
        self._counts[index] += change
        self._digests[index] ^= hash((key, packed)) ^ packed
        self._recency.add(packed >> _TIME_SHIFT, change)

    def count_in(self, index: int) -> int:
        return self._counts[index]

    def digest(self, index: int) -> int:
        """What the entries of one bucket amount to; comparable within this process only."""
        return self._digests[index]

    def take_removed(self, index: int) -> set[str]:
        """The keys that left a bucket since the last call; the caller gives them back with
        `restore_removed` if what it wanted them for failed. Where a manifest can never be
        written they are forgotten in the end, and a merge may bring some of them back."""
        taken, self._removed[index] = self._removed[index], set()
        return taken

    def restore_removed(self, index: int, keys: set[str]) -> None:
        removed = self._removed[index]
        removed |= {key for key in keys if not self._is_in(key, index)}
        if len(removed) > REMOVED_MAX:
            removed.clear()

    def was_removed(self, key: str, index: int) -> bool:
        return key in self._removed[index]

    def _is_in(self, key: str, index: int) -> bool:
        packed = self.packed(key)
        return packed is not None and packed & _BUCKET_MASK == index

    def slices(self) -> Iterator[list[tuple[str, int]]]:
        """Every (key, packed), a shard at a time and in no order. Between two slices the caller
        may let others run: a later slice shows what they changed."""
        for shard in self._shards:
            if shard:
                yield list(shard.items())

    def sorted_slices(self) -> Iterator[list[tuple[str, int]]]:
        """Every (key, packed) in the order of the keys' UTF-8 bytes, at most 1,000 at a time.

        The keys are those that the walk found when it began, less what was removed since. Slices
        may be empty: they only mark where the caller may let others run.
        """
        # A sample of the keys divides all of them into ranges; then each range is sorted alone.
        # Code points compare as their UTF-8 bytes do, so Python's order of strings is S3's.
        bounds = self._sample(len(self) // _BATCH)
        ranges: list[list[str]] = [[] for _ in range(len(bounds) + 1)]
        yield []
        for shard in self._shards:
            for key in shard:
                ranges[bisect_right(bounds, key)].append(key)
            if shard:
                yield []
        for keys in ranges:
            keys.sort()
            for start in range(0, len(keys), _BATCH):
                yield [
                    (key, packed)
                    for key in keys[start : start + _BATCH]
                    if (packed := self.packed(key)) is not None
                ]
            keys.clear()

    def _sample(self, count: int) -> list[str]:
        """Some `count` keys that divide all keys into ranges of about the same size."""
        # A shard has every so many keys by hash. The first keys of all shards would not do: where
        # a sorted listing filled the registry, these are its smallest.
        oversampled: list[str] = []
        for shard in self._shards:
            if len(oversampled) >= count * _OVERSAMPLING:
                break
            oversampled += shard
        oversampled.sort()
        return oversampled[_OVERSAMPLING::_OVERSAMPLING] if count else []

    def sorted_batches(self) -> Iterator[list[Entry]]:
        """`sorted_slices`, as entries."""
        for batch in self.sorted_slices():
            yield [self.entry(key, packed) for key, packed in batch]

    def statistics(self, now_s: float) -> RegistryStatistics:
        self._recency.forget_before(now_s)
        return RegistryStatistics(
            files=tuple(
                (bucket.name, count)
                for bucket, count in zip(self.buckets, self._counts, strict=True)
            ),
            duplicates=len(self.duplicates),
            week=self._recency.count_since(now_s, WEEK_S),
            month=self._recency.count_since(now_s, MONTH_S),
        )
