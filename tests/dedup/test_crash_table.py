"""kill -9 after every step of `order`, and within what S3 does between them.

After restart the files are as they were, or, from the one step on that changes them, as they will
be; what the client asks for again is done; and one pass of the cleaner leaves S3 with exactly what
is referred to.
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
    NEW,
    OLD,
    SHARED,
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
SKIPPED = {
    ("duplicate", "stored"),
    ("hinted_duplicate", "stored"),
    ("straight", "received"),  # and stored in one go: there is no moment in between
}
OPERATIONS = {"delete": "delete", "delete_shared": "delete", "clean": "clean"}


def steps(act: str) -> Iterator[str]:
    for operation, name, _ in ORDER:
        if operation == OPERATIONS.get(act, "put") and (act, name) not in SKIPPED:
            yield f"{operation}/{name}/1"


# Healing: a GET finds that S3 has lost what `a` has, and a PUT of that content stores it anew.
HEALING = ["read/lost/1", *(f"put/{step.name}/1" for step in ORDER if step.operation == "put")]
KILLS = [
    *((act, kill) for act in AFTER for kill in steps(act)),
    *((act, "s3/arriving/1") for act in ("new", "overwrite", "straight")),
    *((act, "s3/answering/1") for act in ("new", "overwrite", "straight")),
    # The first deletion of several, and the last.
    *(("clean", f"s3/{point}/{n}") for point in ("arriving", "answering") for n in (1, 3)),
    ("clean", "clean/deleted/2"),
    ("clean", "clean/collected/2"),
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


def play(killer: subprocess.Popen[str], directory: Path, act: str, kill: str) -> int:
    assert killer.stdin is not None
    assert killer.stdout is not None
    killer.stdin.write(json.dumps({"directory": str(directory), "act": act, "kill": kill}) + "\n")
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
    walked = {kill.rpartition("/")[0] for kill in [*(kill for _, kill in KILLS), *HEALING]}
    assert {f"{step.operation}/{step.name}" for step in ORDER} <= walked


@pytest.mark.parametrize("again", [True, False], ids=["and asked again", "and left"])
@pytest.mark.parametrize(("act", "kill"), KILLS)
def test_killed(
    killer: subprocess.Popen[str], tmp_path: Path, act: str, kill: str, again: bool
) -> None:
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, act, kill) == -9
    trio.run(look, tmp_path, act, kill, again)


@pytest.mark.parametrize("act", AFTER)
def test_not_killed(killer: subprocess.Popen[str], tmp_path: Path, act: str) -> None:
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, act, "") == 0
    trio.run(look, tmp_path, act, "", False)


async def look(directory: Path, act: str, kill: str, again: bool) -> None:
    async with reopened(directory) as bed:
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
@pytest.mark.parametrize("kill", HEALING)
def test_killed_while_what_was_lost_is_stored_anew(
    killer: subprocess.Popen[str], tmp_path: Path, kill: str, again: bool
) -> None:
    """Until the PUT is through, every file is listed, and those of the lost content cannot be read,
    which is told as a failure; after it all can."""
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, "heal", kill) == -9
    trio.run(look_at_healing, tmp_path, kill == "put/referred/1", again)


def test_not_killed_while_what_was_lost_is_stored_anew(
    killer: subprocess.Popen[str], tmp_path: Path
) -> None:
    trio.run(prepare, tmp_path)
    assert play(killer, tmp_path, "heal", "") == 0
    trio.run(look_at_healing, tmp_path, True, False)


async def look_at_healing(directory: Path, is_healed: bool, again: bool) -> None:
    async with reopened(directory) as bed:
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
    assert play(killer, tmp_path, act, "put/stored/1") == -9
    trio.run(early)
    trio.run(look, tmp_path, act, "put/stored/1", True)
