"""kill -9 after every step of `order`, and within what S3 does between them.

After restart the files are as they were, or, from the one step on that changes them, as they will
be; what the client asks for again is done; and one pass of the cleaner leaves S3 with exactly what
is referred to.

All of it is walked with uploads that are large, and claim what they store; with the same in
memory, which do not; and with such as no task stores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trio

from parparchik.dedup.order import ORDER
from parparchik.errors import UpstreamError
from tests.dedup.bed import Bed
from tests.dedup.crash_child import (
    ACTS,
    BEFORE,
    FAR_S,
    LARGE,
    NEW,
    OLD,
    SHARED,
    SMALL,
    SOON,
    prepare,
    reopened,
)

ROOT = Path(__file__).parents[2]

AFTER: Mapping[str, Mapping[str, bytes | None]] = {
    "new": {"new": NEW},
    "overwrite": {"a": NEW},
    "overwrite_gzip": {"a": NEW},
    "duplicate": {"new": OLD},
    "straight": {"a": NEW},
    "hinted_duplicate": {"a": SHARED},
    "delete": {"a": None},
    "delete_shared": {"b/c": None},
    "clean": {},
}
VISIBLE = {"put/referred", "delete/dropped"}
SKIPPED = {("duplicate", "stored"), ("hinted_duplicate", "stored")}
SKIPPED_LARGE = {("straight", "received")}  # and stored in one go: there is no moment in between
OPERATIONS = {"delete": "delete", "delete_shared": "delete", "clean": "clean"}


PUTS = [act for act in AFTER if act not in OPERATIONS]


def steps(act: str, memory_bytes: int) -> Iterator[str]:
    skipped = SKIPPED | SKIPPED_LARGE if memory_bytes == LARGE else SKIPPED
    for operation, name, _ in ORDER:
        is_taken = memory_bytes == LARGE or name != "claimed"
        if operation == OPERATIONS.get(act, "put") and (act, name) not in skipped and is_taken:
            yield f"{operation}/{name}/1"


# Healing: a GET finds that S3 has lost what `a` has, and a PUT of that content stores it anew.
HEALING = [
    (memory_bytes, kill)
    for memory_bytes in (LARGE, SMALL, SOON)
    for kill in ("read/lost/1", *steps("heal", memory_bytes), "s3/arriving/2", "s3/answering/2")
]
KILLS = [
    *((LARGE, act, kill) for act in AFTER for kill in steps(act, LARGE)),
    *((way, act, kill) for way in (SMALL, SOON) for act in PUTS for kill in steps(act, way)),
    *(
        (memory_bytes, act, f"s3/{point}/1")
        for memory_bytes in (LARGE, SMALL, SOON)
        for act in ("new", "overwrite", "overwrite_gzip", "straight")
        for point in ("arriving", "answering")
    ),
    # The first deletion of several, and the last.
    *((LARGE, "clean", f"s3/{point}/{n}") for point in ("arriving", "answering") for n in (1, 3)),
    (LARGE, "clean", "clean/deleted/2"),
    (LARGE, "clean", "clean/collected/2"),
]


@pytest.fixture(scope="module")
def killer() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.dedup.crash_child"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def play(
    killer: subprocess.Popen[str], directory: Path, memory_bytes: int, act: str, kill: str
) -> int:
    assert killer.stdin is not None
    assert killer.stdout is not None
    asked = {"directory": str(directory), "memory_bytes": memory_bytes, "act": act, "kill": kill}
    killer.stdin.write(json.dumps(asked) + "\n")
    killer.stdin.flush()
    return int(killer.stdout.readline())


async def files(bed: Bed) -> dict[str, bytes | None]:
    """Every listed file, read."""
    found: dict[str, bytes | None] = {}
    async for page in bed.store.list("", until_s=10):
        for file in page:
            found[file.path] = await bed.get(file.path)
            assert await bed.get(file.path, gzip=True)
    return found


async def exactly_referred(bed: Bed) -> None:
    """S3 has the blobs of the files, each of them, and nothing else; and so has the metadata."""
    used = set()
    count = 0
    async for page in bed.store.list("", until_s=10):
        for file in page:
            count += 1
            used.add(file.blob)
    blobs = {blob async for page in bed.metadata.blobs() for blob in page}
    assert blobs == used
    assert set(bed.bucket.objects) == {blob.key for blob in blobs}
    totals = await bed.metadata.totals()
    assert (totals.files, totals.blobs, totals.orphans, totals.garbage) == (count, len(used), 0, 0)
    assert totals.stored_bytes == sum(blob.stored_bytes for blob in used)


def after(act: str, kill: str) -> dict[str, bytes | None]:
    changed = AFTER[act] if kill.rpartition("/")[0] in VISIBLE or not kill else {}
    state = {**BEFORE, **changed}
    return {path: data for path, data in state.items() if data is not None}


def test_every_step_of_the_table_is_walked() -> None:
    kills = [*((size, kill) for size, _, kill in KILLS), *HEALING]
    table = {f"{step.operation}/{step.name}" for step in ORDER}
    assert table <= {kill.rpartition("/")[0] for _, kill in kills}
    without_claim = {name for name in table if name.startswith("put/")} - {"put/claimed"}
    assert without_claim <= {kill.rpartition("/")[0] for size, kill in kills if size == SMALL}


@pytest.mark.parametrize("again", [True, False], ids=["and asked again", "and left"])
@pytest.mark.parametrize(("memory_bytes", "act", "kill"), KILLS)
def test_killed(
    killer: subprocess.Popen[str],
    tmp_path: Path,
    memory_bytes: int,
    act: str,
    kill: str,
    again: bool,
) -> None:
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, memory_bytes, act, kill) == -9
    trio.run(look, tmp_path, memory_bytes, act, kill, again)


@pytest.mark.parametrize("memory_bytes", [LARGE, SMALL, SOON], ids=["large", "small", "soon"])
@pytest.mark.parametrize("act", AFTER)
def test_not_killed(
    killer: subprocess.Popen[str], tmp_path: Path, memory_bytes: int, act: str
) -> None:
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, memory_bytes, act, "") == 0
    trio.run(look, tmp_path, memory_bytes, act, "", False)


async def look(directory: Path, memory_bytes: int, act: str, kill: str, again: bool) -> None:
    async with reopened(directory, memory_bytes) as bed:
        wanted = after(act, kill)
        assert await files(bed) == wanted
        if again and act != "clean":
            await ACTS[act](bed)
            wanted = after(act, "")
            assert await files(bed) == wanted
        bed.late_s = 2 * FAR_S
        report = await bed.cleaner().clean()
        assert (report.led, report.failed, report.missing) == (True, 0, 0)
        assert await files(bed) == wanted
        await exactly_referred(bed)
        await bed.put("goes on", NEW, 6)
        await bed.put("a", NEW, 7)
        assert await files(bed) == {**wanted, "goes on": NEW, "a": NEW}


@pytest.mark.parametrize("again", [True, False], ids=["and asked again", "and left"])
@pytest.mark.parametrize(("memory_bytes", "kill"), HEALING)
def test_killed_while_what_was_lost_is_stored_anew(
    killer: subprocess.Popen[str], tmp_path: Path, memory_bytes: int, kill: str, again: bool
) -> None:
    """Until the PUT is through, every file is listed, and those of the lost content cannot be read,
    which is told as a failure; after it all can."""
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, memory_bytes, "heal", kill) == -9
    trio.run(look_at_healing, tmp_path, memory_bytes, kill == "put/referred/1", again)


@pytest.mark.parametrize("memory_bytes", [LARGE, SMALL, SOON], ids=["large", "small", "soon"])
def test_not_killed_while_what_was_lost_is_stored_anew(
    killer: subprocess.Popen[str], tmp_path: Path, memory_bytes: int
) -> None:
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, memory_bytes, "heal", "") == 0
    trio.run(look_at_healing, tmp_path, memory_bytes, True, False)


async def look_at_healing(directory: Path, memory_bytes: int, is_healed: bool, again: bool) -> None:
    async with reopened(directory, memory_bytes) as bed:
        assert (await bed.metadata.totals()).lost == (not is_healed)
        if not is_healed:
            with pytest.raises(UpstreamError, match="missing"):
                await bed.get("a")
            for path in BEFORE:
                assert await bed.store.stat(path) is not None
        if again:
            await ACTS["heal"](bed)
            is_healed = True
        bed.late_s = 2 * FAR_S
        report = await bed.cleaner().clean()
        assert (report.led, report.failed, report.missing) == (True, 0, not is_healed)
        if not is_healed:
            await bed.put("another path", OLD, 1)
            assert await bed.get("a") == OLD
        await bed.store.delete("another path", 1)
        bed.late_s = 4 * FAR_S
        await bed.cleaner().clean()
        assert await files(bed) == {**BEFORE, "a": OLD}
        await exactly_referred(bed)


@pytest.mark.parametrize("act", ["new", "straight"])
def test_what_is_under_way_elsewhere_is_left_alone(
    killer: subprocess.Popen[str], tmp_path: Path, act: str
) -> None:
    """A pass while a claim still lives, of a process that was killed, takes nothing away that it
    might have been about to use."""

    async def early() -> None:
        async with reopened(tmp_path) as bed:
            bed.late_s = 60.0
            await bed.cleaner(grace_s=0).clean()
            assert bed.key(NEW) in bed.bucket.objects

    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, LARGE, act, "put/stored/1") == -9
    trio.run(early)
    trio.run(look, tmp_path, LARGE, act, "put/stored/1", True)


@pytest.mark.parametrize("again", [True, False], ids=["and asked again", "and left"])
@pytest.mark.parametrize("kill", ["s3/answering/1", "put/stored/1"])
def test_what_was_in_memory_is_an_orphan_until_the_sweep(
    killer: subprocess.Popen[str], tmp_path: Path, kill: str, again: bool
) -> None:
    """Nobody has a claim on it: who asks again stores it there again, else it is collected."""

    async def swept() -> None:
        async with reopened(tmp_path, SMALL) as bed:
            bed.late_s = FAR_S
            report = await bed.cleaner().clean(sweep=False)
            assert bed.key(NEW) in bed.bucket.objects
            if again:
                await bed.put("a", NEW, 5)
            report = await bed.cleaner().clean()
            assert (report.failed, report.missing) == (0, 0)
            assert await bed.get("a") == (NEW if again else OLD)
            bed.late_s = 2 * FAR_S
            await bed.cleaner().clean()
            await exactly_referred(bed)

    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, SMALL, "overwrite", kill) == -9
    trio.run(swept)
