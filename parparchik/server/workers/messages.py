"""What the parent and its workers say to each other. Pure.

An entry travels as its key and its packed value (`registry.pack`) in twelve bytes, or None for a
key that has no entry. A message with an `id` is a question, or the answer to the question of that
id. Everything else is told and not answered.
"""

from __future__ import annotations

import msgspec

from parparchik.metrics import Family
from parparchik.server.tls import Pem

PACKED_BYTES = 12  # 34 bits of time, 48 of size, 8 of bucket index


def to_bytes(packed: int | None) -> bytes | None:
    return None if packed is None else packed.to_bytes(PACKED_BYTES)


def from_bytes(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value)


Row = tuple[str, bytes | None]


class _Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


# -- told to the parent ---------------------------------------------------------------------------


class Up(_Message, tag=1, frozen=True):
    """The worker accepts connections."""


class Find(_Message, tag=2, frozen=True):
    """Which entries do these keys have? Answered by `Found`."""

    keys: list[str]


class Change(_Message, frozen=True):
    """What a HEAD of a worker has changed: `seen` is the entry that the worker had, `now` what it
    has. `duplicate` None: nothing was learned of that."""

    key: str
    seen: bytes | None
    now: bytes | None
    duplicate: bool | None = None


class Report(_Message, tag=3, frozen=True):
    changes: list[Change]


class CloseList(_Message, tag=4, frozen=True):
    """The client of a list has left before its end."""

    list: int


class Ended(_Message, tag=5, frozen=True):
    """The last numbers of a worker that has drained."""

    families: list[Family]


# -- asked of the parent --------------------------------------------------------------------------


class Update(_Message, tag=10, frozen=True):
    id: int
    key: str


class Relocate(_Message, tag=11, frozen=True):
    id: int
    key: str


class Sync(_Message, tag=12, frozen=True):
    id: int


class Render(_Message, tag=13, frozen=True):
    """A scrape, for an Accept header."""

    id: int
    accept: str


class NextBatch(_Message, tag=14, frozen=True):
    """The next entries of list number `list`, which the first such question begins."""

    id: int
    list: int


class Join(_Message, tag=15, frozen=True):
    """From the answer on the worker keeps objects in its cache, and claims its directory."""

    id: int


# -- asked of both --------------------------------------------------------------------------------


class Drop(_Message, tag=16, frozen=True):
    """Objects were changed at S3: no cache may know them. A worker asks it of the parent, and the
    parent of every other worker. `names` are (bucket, key), `below` (bucket, prefix); `settled` is
    what the asker's own disk has said; `by_peer`: another host has told of it."""

    id: int
    names: list[tuple[str, str]]
    below: list[tuple[str, str]]
    settled: bool = False
    by_peer: bool = False


# -- told to a worker -----------------------------------------------------------------------------


class Setup(_Message, tag=20, frozen=True):
    """First of all: who the worker is, and the accepted configuration (`settings.encode`).
    `sockets` are descriptors that it has inherited, as is `turns`, the table of all `workers`.
    `pem`: where TLS is spoken, what was accepted of its files. `instance` is what the whole server
    is called among its peers."""

    version: str
    worker: int
    config: bytes
    environ: dict[str, str]
    sockets: list[int]
    turns: int
    workers: int
    pem: Pem | None = None
    instance: str = ""


class State(_Message, tag=21, frozen=True):
    """What management answers without asking. `reason`: why the group should be sent no requests,
    None when it should. Told whenever it changes, and every second as a sign of life."""

    ready: bool
    reason: str | None
    count: int


class Found(_Message, tag=22, frozen=True):
    """The answer to `Find`."""

    rows: list[Row]


class Changes(_Message, tag=23, frozen=True):
    """What the registry has of these keys now."""

    rows: list[Row]


class Forget(_Message, tag=24, frozen=True):
    """So much has changed that everything known is to be asked for anew."""


class Stop(_Message, tag=25, frozen=True):
    """Accept nothing more, finish what is under way within `grace_s`, and end."""

    grace_s: float


class Renew(_Message, tag=26, frozen=True):
    """Another certificate, of the same files."""

    pem: Pem


# -- asked of a worker ----------------------------------------------------------------------------


class GiveNumbers(_Message, tag=30, frozen=True):
    id: int


# -- answers --------------------------------------------------------------------------------------


class Located(_Message, tag=40, frozen=True):
    """To `Update`; `row` None: in no bucket."""

    id: int
    row: Row | None


class Relocated(_Message, tag=41, frozen=True):
    """To `Relocate`; `row` None: in no bucket."""

    id: int
    row: Row | None
    relocated_from: str | None = None
    relocated_to: str | None = None
    duplicate: bool = False
    note: str | None = None


class Synced(_Message, tag=42, frozen=True):
    id: int


class Rendered(_Message, tag=43, frozen=True):
    id: int
    content_type: str
    body: bytes


class Batch(_Message, tag=44, frozen=True):
    """To `NextBatch`; no rows: that was all."""

    id: int
    rows: list[Row]


class Numbers(_Message, tag=45, frozen=True):
    """To `GiveNumbers`."""

    id: int
    families: list[Family]


class Joined(_Message, tag=47, frozen=True):
    """To `Join`."""

    id: int


class Dropped(_Message, tag=48, frozen=True):
    """To `Drop`: none of those who were asked will give it out again. How many objects of it were
    known to the one that knew most; whether that stays so on disk, whatever happens."""

    id: int
    objects: int
    settled: bool


class Failed(_Message, tag=46, frozen=True):
    """To any question: `error` is the name in `faults`, '' for a crash."""

    id: int
    error: str
    message: str
    retry_after_s: int = 1
    region: str = ""


ToParent = (
    Up
    | Find
    | Report
    | CloseList
    | Ended
    | Update
    | Relocate
    | Sync
    | Render
    | NextBatch
    | Join
    | Drop
    | Numbers
    | Dropped
)
AnswersOfWorkers = (Numbers, Dropped)

AnswersOfParent = (Located, Relocated, Synced, Rendered, Batch, Joined, Dropped)
ToWorker = (
    Setup
    | State
    | Found
    | Changes
    | Forget
    | Stop
    | Renew
    | GiveNumbers
    | Drop
    | Located
    | Relocated
    | Synced
    | Rendered
    | Batch
    | Joined
    | Dropped
    | Failed
)
