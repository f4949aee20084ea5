"""Lists of object keys: one a line, UTF-8, read as they are needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from parparchik.cli.failures import CommandError

_LONGEST_BYTES = 1024  # of a key: S3's own limit
_CHUNK_BYTES = 1 << 20


def count_keys(path: Path) -> int:
    """About how many there are, for who watches: lines of a file; 0 where that is not known."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""))


def read_keys(path: Path, stack: ExitStack) -> Iterator[str]:
    """The keys, without empty lines; `-` is standard input. What is no pipe is closed by `stack`.
    Raises OSError at once, and CommandError while reading."""
    if path.is_file():
        return _lines(stack.enter_context(path.open("rb")), str(path))
    # A thread may wait for input that never comes, and whoever closes its file waits for it: so
    # nobody does, nor is it sys.stdin, which Python closes when it ends.
    is_standard = str(path) == "-"
    source = sys.stdin.fileno() if is_standard else path
    file = open(source, "rb", closefd=not is_standard)  # noqa: SIM115
    return _lines(file, "standard input" if is_standard else str(path))


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_BYTES + 3):  # with \r\n, and one too many
        number += 1
        key = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(key) > _LONGEST_BYTES:
            raise CommandError(f"{name}: line {number} is longer than a key can be")
        try:
            decoded = key.decode()
        except UnicodeDecodeError:
            raise CommandError(f"{name}: line {number} is not UTF-8") from None
        if decoded:
            yield decoded
