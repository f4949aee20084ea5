"""Buckets whose objects are numbers, and what was put into them besides."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import NamedTuple

MANIFEST_KEY = ".parparchik/files.json"
KEYS_MAX = 10_000_000
OBJECT_BYTES = 100
MODIFIED = "2026-01-01T00:00:00.000Z"
MODIFIED_HTTP = "Thu, 01 Jan 2026 00:00:00 GMT"

_PREFIX = "file-"


def key_of(number: int) -> str:
    """Keys sort as their numbers do."""
    return f"{_PREFIX}{number:07}"


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A bucket with the objects `first` to `first + count - 1`, which listings show, and with
    `hidden` more from number `hidden_from` on, which are there for who asks for them by name: as
    objects are that came after a listing.

    `manifest`: a manifest that holds the first ones is there from the beginning. `may_list` False:
    listings are refused, 403. `object_bytes`: of each of these objects. `sink`: it takes what it is
    given and keeps the size of it.
    """

    name: str
    count: int = 0
    first: int = 0
    hidden: int = 0
    hidden_from: int = 1_000_000
    manifest: bool = False
    may_list: bool = True
    object_bytes: int = OBJECT_BYTES
    sink: bool = False

    @property
    def is_bulk(self) -> bool:
        """Whether bodies are what it is about; see `bulk`."""
        return self.sink or self.object_bytes != OBJECT_BYTES

    def __post_init__(self) -> None:
        for end in (self.first + self.count, self.hidden_from + self.hidden):
            if not 0 <= end <= KEYS_MAX:
                raise ValueError(f"{self.name}: object numbers go from 0 to {KEYS_MAX:,}")


class Stored(NamedTuple):
    """`headers` are those that came with it and belong to it."""

    body: bytes
    etag: str
    headers: tuple[tuple[str, str], ...] = ()


class Listed(NamedTuple):
    key: str
    size_bytes: int
    etag: str


class BucketContent:
    """A bucket at work. Of a sink: `sunk` has the sizes of its objects, `uploads` those of what has
    come so far in parts."""

    def __init__(self, spec: BucketSpec) -> None:
        self.spec = spec
        self.sunk: dict[str, int] = {}
        self.uploads: dict[str, int] = {}
        self._listed = range(spec.first, spec.first + spec.count)
        self._hidden = range(spec.hidden_from, spec.hidden_from + spec.hidden)
        self._stored: dict[str, Stored] = {}
        self._puts = 0
        if spec.manifest:
            self.put(MANIFEST_KEY, make_manifest(spec))

    def is_generated(self, key: str) -> bool:
        digits = key.removeprefix(_PREFIX)
        if not (digits.isascii() and digits.isdecimal()) or key_of(int(digits)) != key:
            return False
        number = int(digits)
        return number in self._listed or number in self._hidden

    def stored(self, key: str) -> Stored | None:
        return self._stored.get(key)

    def put(self, key: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> Stored:
        """ETags are numbers, not digests: a manifest of a million entries would take a while."""
        found = self._stored[key] = Stored(body, f'"put-{self.next_number()}"', headers)
        return found

    def next_number(self) -> int:
        self._puts += 1
        return self._puts

    def page(self, after: str, prefix: str, count: int) -> tuple[list[Listed], bool]:
        """Up to `count` objects behind the key `after`, and whether there are more."""
        stored = (
            Listed(key, len(object_.body), object_.etag)
            for key, object_ in sorted(self._stored.items())
        )
        size_bytes = self.spec.object_bytes
        generated = (Listed(key_of(n), size_bytes, GENERATED_ETAG) for n in self._behind(after))
        merged: Iterator[Listed] = heapq.merge(stored, generated)
        found = list(
            islice(
                (one for one in merged if one.key > after and one.key.startswith(prefix)),
                count + 1,
            )
        )
        return found[:count], len(found) > count

    def _behind(self, after: str) -> range:
        low, high = 0, len(self._listed)
        while low < high:
            middle = (low + high) // 2
            if key_of(self._listed[middle]) > after:
                high = middle
            else:
                low = middle + 1
        return self._listed[low:]


GENERATED_ETAG = '"generated"'


@cache
def make_manifest(spec: BucketSpec) -> bytes:
    """As parparchik writes it: JSON, an entry a line."""
    name = json.dumps(spec.name)
    rows = ",\n".join(
        f'{{"key":"{key}","bucket":{name},"route":"/{spec.name}/{key}",'
        f'"size":{spec.object_bytes},"last_modified":"2026-01-01T00:00:00Z"}}'
        for key in map(key_of, range(spec.first, spec.first + spec.count))
    )
    return f'{{"version":1,"bucket":{name},"files":[\n{rows}\n]}}\n'.encode()
