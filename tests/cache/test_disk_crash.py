"""kill -9 while pieces are saved and forgotten, again and again, and rubbish planted in between.

After each: what is served has exactly the bytes it should have, and nothing comes back that was
forgotten for good.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from parparchik.cache.disk import DiskStore
from tests.cache.disk_filler import BUDGET, KEYS, PIECES, data_of
from tests.cache.disks import load, name, piece, piece_files, running, used_bytes

ROUNDS = 25
ROOT = Path(__file__).parents[2]


def fill_and_kill(directory: Path, number: int, after_s: float) -> list[str]:
    """What the process said until it was killed."""
    command = [sys.executable, "-m", "tests.cache.disk_filler", str(directory), str(number)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_s)
        assert process.poll() is None
        process.kill()
        said = process.stdout.read().decode().split("\n")
    return said[:-1]  # the last one may be torn


def cut(file: bytes, dice: random.Random) -> bytes:
    return file[: dice.randrange(len(file))]


def garble(file: bytes, dice: random.Random) -> bytes:
    changed = bytearray(file)
    changed[dice.randrange(len(file))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def zero_a_page(file: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(file)) // 4096 * 4096
    return file[:at] + bytes(len(file[at : at + 4096])) + file[at + 4096 :]


def zero_all(file: bytes, dice: random.Random) -> bytes:
    return bytes(len(file))


SPOILERS: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, garble, zero_a_page, zero_all)


def plant(directory: Path, dice: random.Random) -> None:
    """Make rubbish of some files, and have some that were never ours."""
    files = piece_files(directory)
    for path in dice.sample(files, min(len(files), 4)):
        path.write_bytes(dice.choice(SPOILERS)(path.read_bytes(), dice))
    if len(files) > 1:
        one, other = dice.sample(files, 2)
        one.write_bytes(other.read_bytes())
    (directory / "tmp" / "left").write_bytes(b"half")
    folder = directory / "ab" / "cd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("abcd" + "0" * 60)).write_bytes(os.urandom(100))


async def look(disk: DiskStore, forgotten: dict[str, int]) -> tuple[int, int]:
    """How many pieces are served, and how many were there and are not."""
    served = spoiled = 0
    for key in KEYS:
        for index in range(PIECES):
            known = disk.record(name(key), "")
            if known is None or not disk.has(piece(key, index), known):
                continue
            version = int(known.representation.etag.strip('"'))
            assert version > forgotten.get(key, -1), f"{key} came back"
            got = await load(disk, piece(key, index), known)
            if got is None:
                spoiled += 1
            else:
                assert got == data_of(key, version, index), f"{key} {version} {index}"
                served += 1
    return served, spoiled


async def test_no_wrong_byte_after_kill_9(tmp_path: Path) -> None:
    dice = random.Random(4)
    directory = tmp_path / "cache"
    forgotten: dict[str, int] = {}
    served = spoiled = rounds = 0
    until_s = time.monotonic() + 30
    while rounds < ROUNDS and (rounds < 5 or time.monotonic() < until_s):
        said = fill_and_kill(directory, rounds, dice.random() ** 2 * 0.4)
        assert not [line for line in said if line.startswith("wrong")]
        for line in said:
            key, version = line.split()
            forgotten[key] = int(version)
        if rounds % 2:
            plant(directory, dice)
        async with running(directory, BUDGET) as disk:
            of_round = await look(disk, forgotten)
            assert await disk.settle()
            assert used_bytes(directory) == disk.statistics().bytes <= BUDGET
            assert disk.statistics().files == of_round[0] == len(piece_files(directory))
            if not rounds % 2:
                assert of_round[1] == 0  # nobody spoiled anything
        served, spoiled, rounds = served + of_round[0], spoiled + of_round[1], rounds + 1
    assert served > rounds
    assert spoiled > 0
    assert forgotten
