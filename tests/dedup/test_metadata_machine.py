"""SQLite compared with the fake, whatever is done to both, in whatever order, and by two at once.

They choose different keys where one has to be made up, so keys are compared by what they are called
here: `names` has the fake's for each of SQLite's.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from parparchik.dedup import sqlite_files
from parparchik.dedup.sqlite import SqliteMetadata
from parparchik.dedup.sqlite_connection import Database
from parparchik.dedup.types import Metadata, Sight, Written
from tests.dedup.fake_metadata import FakeMetadata
from tests.dedup.metadata_ops import (
    PATHS,
    Mine,
    Op,
    Pair,
    Seen,
    caught,
    delete_op,
    discard_key_op,
    discard_op,
    lose_there_op,
    lost_op,
    put_op,
    refer_op,
    release_op,
    renew_op,
    restate_op,
    restate_there_op,
    state,
)
from tests.dedup.metadata_scene import KEYS, LIFE, NOW, digest

VERSIONS = (-2, 0, 1, 2**62)
CONTENTS = ("x", "yy", "zzz")

paths = st.sampled_from(PATHS)
versions = st.sampled_from(VERSIONS)
contents = st.sampled_from(CONTENTS)


class MetadataMachine(RuleBasedStateMachine):
    claims = Bundle("claims")
    sights = Bundle("sights")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        # Power does not fail here, so no fsync is waited for.
        self.database = Database(Path(self.directory.name) / "m.db", synchronous="normal")
        self.now = NOW
        self.fake = FakeMetadata(KEYS)
        self.names: dict[str, str] = {}
        trio.run(self.open)

    async def open(self) -> None:
        self.store = await SqliteMetadata.open(self.database, KEYS)
        self.other = await SqliteMetadata.open(self.database, KEYS)

    async def close(self) -> None:
        await self.store.close()
        await self.other.close()

    def teardown(self) -> None:
        trio.run(self.close)
        self.directory.cleanup()

    def name(self, key: str) -> str:
        return self.names.get(key, key)

    def both(self, op: Op) -> Any:
        async def run() -> tuple[Any, Any]:
            ours = await caught(op.do(self.store, lambda pair: pair.ours, self.now))
            return ours, await caught(op.do(self.fake, lambda pair: pair.fake, self.now))

        ours, fake = trio.run(run)
        assert ours == fake
        return ours

    # -- one at a time ------------------------------------------------------------------------

    @rule(by_s=st.sampled_from((1.0, LIFE / 2, LIFE, 24 * 3600.0)))
    def time_passes(self, by_s: float) -> None:
        self.now += by_s

    @rule(target=claims, content=contents)
    def claim(self, content: str) -> Pair:
        return self.claimed(content)

    def claimed(self, content: str) -> Pair:
        async def run() -> Pair:
            of_both = [
                await store.claim(digest(content), now_s=self.now, life_s=LIFE)
                for store in (self.store, self.fake)
            ]
            return Pair(content, *of_both)

        pair = trio.run(run)
        plain = KEYS.plain(pair.ours.digest)
        assert (pair.ours.key == plain) == (pair.fake.key == plain)
        assert pair.ours.key.startswith(plain)
        assert (pair.ours.blob is None) == (pair.fake.blob is None)
        known = self.names.setdefault(pair.ours.key, pair.fake.key)
        assert known == pair.fake.key
        return pair

    @rule(pair=claims, path=paths, version=versions, imported=st.booleans())
    def put(self, pair: Pair, path: str, version: int, imported: bool) -> None:
        self.both(put_op(pair, path, version, imported))

    @rule(content=contents, path=paths, version=versions, imported=st.booleans())
    def claim_and_put(self, content: str, path: str, version: int, imported: bool) -> None:
        pair = self.claimed(content)
        self.both(put_op(pair, path, version, imported))
        self.both(release_op(pair))

    @rule(target=sights, content=contents, path=paths, extra=st.sampled_from((20, 21)))
    def look(self, content: str, path: str, extra: int) -> Any:
        seen = self.seen(content, path, extra)
        return multiple() if seen is None else seen

    def seen(self, content: str, path: str, extra: int) -> Seen | None:
        async def run() -> list[Any]:
            return [
                await caught(store.look(path, digest(content), now_s=self.now))
                for store in (self.store, self.fake)
            ]

        ours, fake = trio.run(run)
        if not isinstance(ours, Sight):
            assert ours == fake
            return None
        plain = KEYS.plain(digest(content))
        assert (ours.key == plain) == (fake.key == plain)
        assert ours.key.startswith(plain)
        assert self.names.setdefault(ours.key, fake.key) == fake.key
        blob = ours.blob and ours.blob._replace(key=self.name(ours.blob.key))
        assert (ours.version_s, blob) == fake[:2]
        return Seen(content, ours, fake, extra)

    @rule(seen=sights, path=paths, version=versions, imported=st.booleans())
    def refer(self, seen: Seen, path: str, version: int, imported: bool) -> None:
        self.both(refer_op(seen, path, version, imported))

    @rule(content=contents, path=paths, version=versions, imported=st.booleans())
    def look_and_refer(self, content: str, path: str, version: int, imported: bool) -> None:
        seen = self.seen(content, path, 22)
        if seen is not None:
            came = self.both(refer_op(seen, path, version, imported))
            assert isinstance(came, Written), "nobody came in between"

    @rule(seen=consumes(sights))
    def discard_key(self, seen: Seen) -> None:
        self.both(discard_key_op(seen))

    @rule(content=contents, stored_bytes=st.sampled_from((0, 21, 40)))
    def restate(self, content: str, stored_bytes: int) -> None:
        self.both(restate_op(content, stored_bytes))

    @rule(pair=claims)
    def renew(self, pair: Pair) -> None:
        self.both(renew_op(pair))

    @rule(pair=consumes(claims))
    def release(self, pair: Pair) -> None:
        self.both(release_op(pair))

    @rule(path=paths, version=versions, tombstone=st.booleans())
    def delete(self, path: str, version: int, tombstone: bool) -> None:
        self.both(delete_op(path, version, tombstone))

    @rule(content=contents, is_lost=st.booleans())
    def lose(self, content: str, is_lost: bool) -> None:
        self.both(lost_op(content, is_lost))

    @rule(path=paths, version=versions)
    def bury(self, path: str, version: int) -> None:
        async def do(store: Metadata, mine: Mine, now: float) -> Any:
            return await store.bury(path, version)

        self.both(Op(do))

    @rule(grace=st.sampled_from((0.0, 10.0)), limit=st.sampled_from((1, 100)))
    def discard_orphans(self, grace: float, limit: int) -> None:
        # Which of several goes is the store's choice.
        orphans = trio.run(self.fake.totals).orphans
        self.both(discard_op(grace, limit if orphans <= 1 else 100))

    @rule(share=st.sampled_from((1, 2)))
    def collect(self, share: int) -> None:
        async def run() -> None:
            keys = sorted(await self.store.garbage(limit=1000))[::share]
            await self.store.collected(keys, now_s=self.now)
            await self.fake.collected([self.name(key) for key in keys], now_s=self.now)

        trio.run(run)

    @rule(strange=st.sampled_from(("s1", "s2")))
    def sweep(self, strange: str) -> None:
        async def run() -> None:
            keys = [*sorted(self.names), strange]
            found = await self.store.unknown(keys)
            expected = await self.fake.unknown([self.name(key) for key in keys])
            assert [self.name(key) for key in found] == expected

        trio.run(run)

    @rule(folder=st.sampled_from(("", *PATHS, "nothing")), until=versions)
    def list_below(self, folder: str, until: int) -> None:
        async def run() -> None:
            listed = [
                [file.path async for page in store.list(folder, until_s=until) for file in page]
                for store in (self.store, self.fake)
            ]
            assert listed[0] == listed[1]
            assert await self.store.has_below(folder) == await self.fake.has_below(folder)

        trio.run(run)

    @rule(owner=st.sampled_from(("one", "two")))
    def lead(self, owner: str) -> None:
        async def run() -> None:
            assert await self.store.lead(
                owner, now_s=self.now, life_s=LIFE
            ) == await self.fake.lead(owner, now_s=self.now, life_s=LIFE)

        trio.run(run)

    # -- what goes wrong ------------------------------------------------------------------------

    @rule(path=paths, version=versions)
    def crash(self, path: str, version: int) -> None:
        """A change that was made and not committed has not been made."""
        connection = self.database.writer()
        connection.execute("BEGIN IMMEDIATE")
        sqlite_files.delete(connection, path, version, True, self.now)
        sqlite_files.claim(connection, KEYS, digest("x"), self.now, LIFE)
        connection.close()
        trio.run(self.close)
        trio.run(self.open)

    @rule(data=st.data(), first=claims, second=claims)
    def two_at_once(self, data: st.DataObject, first: Pair, second: Pair) -> None:
        """By two processes, as it were: as if one had come before the other."""
        ops = [
            data.draw(
                st.one_of(
                    st.builds(put_op, st.just(pair), paths, versions, st.booleans()),
                    st.builds(delete_op, paths, versions, st.booleans()),
                    st.builds(release_op, st.just(pair)),
                    st.just(lose_there_op(pair)),
                    st.just(discard_op(0.0, 100)),
                )
            )
            for pair in (first, second)
        ]
        trio.run(self.race, ops)

    @rule(data=st.data(), first=sights, second=st.one_of(sights, claims))
    def two_at_once_unclaimed(self, data: st.DataObject, first: Seen, second: Seen | Pair) -> None:
        one = refer_op(first, data.draw(paths), data.draw(versions), data.draw(st.booleans()))
        ops = [
            st.builds(delete_op, paths, versions, st.booleans()),
            st.just(lose_there_op(second)),
            st.just(restate_there_op(second)),
            st.just(discard_op(0.0, 100)),
        ]
        if isinstance(second, Pair):
            ops.append(st.builds(put_op, st.just(second), paths, versions, st.booleans()))
            ops.append(st.just(release_op(second)))
        else:
            ops.append(st.builds(refer_op, st.just(second), paths, versions, st.booleans()))
            ops.append(st.just(discard_key_op(second)))
        trio.run(self.race, [one, data.draw(st.one_of(ops))])

    async def race(self, ops: list[Op]) -> None:
        results: dict[int, Any] = {}

        async def run(number: int, store: Metadata) -> None:
            do = ops[number].do(store, lambda pair: pair.ours, self.now)
            results[number] = await caught(do)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, 0, self.store)
            nursery.start_soon(run, 1, self.other)
        ours = await state(self.store, self.name)
        expected = []
        for order in ((0, 1), (1, 0)):
            fake = copy.deepcopy(self.fake)
            said = {
                number: await caught(ops[number].do(fake, lambda pair: pair.fake, self.now))
                for number in order
            }
            if (said, await state(fake, str)) == (results, ours):
                self.fake = fake
                return
            expected.append(said)
        raise AssertionError(f"{results} came of it, and neither of {expected}")

    @invariant()
    def the_same_is_seen(self) -> None:
        async def run() -> None:
            assert await state(self.store, self.name) == await state(self.fake, str)
            assert await self.other.integrity() == []

        trio.run(run)


MetadataMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestMetadataMachine = MetadataMachine.TestCase
