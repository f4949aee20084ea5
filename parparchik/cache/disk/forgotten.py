"""What must not be believed of files, should they be found. Pure.

That an object was forgotten is written down before whoever changed it is told that it is done. Its
files are deleted besides; but the process may be killed before they are, or the machine stop
before the disk has it, and some may not even be known yet, shortly after a start. The next process
reads what was written down before anything else.

What is meant is what was saved before: by any other run, or by the same one up to a number.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from parparchik.content import ObjectName

NAMES_MAX = 10_000
"""With more of them, before all files are known, their buckets are forgotten as a whole."""


class _Line(msgspec.Struct, frozen=True):
    run: str
    number: int
    bucket: str
    key: str
    below: bool

    @property
    def encoded(self) -> bytes:
        # A line before it may be torn.
        return b"\n" + msgspec.json.encode(self) + b"\n"


_decode = msgspec.json.Decoder(_Line).decode


class Forgotten:
    """`run` is this process's. `forgetful`: all files are known, so nothing has to be kept in
    mind."""

    __slots__ = ("_below", "_everything", "_names", "_run", "forgetful")

    def __init__(self, run: str) -> None:
        self.forgetful = False
        self._run = run
        self._everything = False
        self._names: dict[ObjectName, dict[str, _Line]] = {}  # and the runs
        self._below: dict[tuple[str, str, str], _Line] = {}  # run, bucket, prefix

    def add(self, name: ObjectName, number: int) -> bytes:
        """What to write down: the object as it was saved up to this number, and by others. Raises
        ValueError where the name is no Unicode: then nothing of it was ever saved."""
        if len(self._names) >= NAMES_MAX and name not in self._names:
            return self.add_below(name.bucket, "", number)
        line = _Line(self._run, number, name.bucket, name.key, below=False)
        self._note(line)
        return line.encoded

    def add_below(self, bucket: str, prefix: str, number: int) -> bytes:
        """Likewise all that begins with the prefix."""
        line = _Line(self._run, number, bucket, prefix, below=True)
        self._note(line)
        return line.encoded

    def lines(self) -> Iterator[bytes]:
        """All that this run has in mind."""
        for by_run in self._names.values():
            if self._run in by_run:
                yield by_run[self._run].encoded
        for line in self._below.values():
            if line.run == self._run:
                yield line.encoded

    def read(self, lines: bytes) -> None:
        """What earlier runs have written down. The last line may be torn: nobody was told that it
        holds."""
        for line in lines.split(b"\n"):
            try:
                self._note(_decode(line))
            except msgspec.MsgspecError:
                continue

    def distrust(self) -> None:
        """What earlier runs have written down cannot be read: it may have been anything."""
        self._everything = True

    def covers(self, name: ObjectName, run: str, number: int) -> bool:
        """Whether what that run saved of the object as its `number` is not to be believed."""
        if self._everything and run != self._run:
            return True
        if any(_means(line, run, number) for line in self._names.get(name, {}).values()):
            return True
        return any(
            _means(line, run, number)
            and line.bucket == name.bucket
            and name.key.startswith(line.key)
            for line in self._below.values()
        )

    def _note(self, line: _Line) -> None:
        """Of a run's lines on one thing the last means most."""
        if self.forgetful:
            return
        if line.below:
            self._below[line.run, line.bucket, line.key] = line
        else:
            self._names.setdefault(ObjectName(line.bucket, line.key), {})[line.run] = line


def _means(line: _Line, run: str, number: int) -> bool:
    return line.run != run or number <= line.number
