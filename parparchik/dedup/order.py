"""The order of every operation, and what holds after each of its steps. Pure.

Three invariants make a store that can be killed at any moment:

I1  A blob is durable at S3 before anything refers to it.
I2  The last reference is gone before its blob is.
I3  What is at S3 and nobody refers to is found and collected in the end.

Only `referred` and `dropped` change what clients see, and each is one transaction. After every
other step the files are as they were before the operation began. Where S3 itself has lost a blob,
its files stay, and reading them fails, until a PUT of the content has come to `referred`, which
gives all of them the object that it stored. The tests of crashes walk this
table: the process is killed after each step of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Operation = Literal["put", "delete", "read", "clean"]


class Step(NamedTuple):
    """`keeps` says why the invariants hold when nothing follows any more."""

    operation: Operation
    name: str
    keeps: str


# fmt: off
ORDER: tuple[Step, ...] = (
    # What is wholly in memory is claimed only once it was taken for garbage. An upload whose digest
    # and size are announced is claimed first, where it is large, and received while it is stored;
    # what it announces is verified before S3 is given the last byte.
    Step("put", "received", "nothing is stored anywhere; the spool has no name and goes with us"),
    Step("put", "claimed",  "I3: the claim runs out, then its key is garbage"),
    Step("put", "stored",   "I3: its key becomes garbage with the claim, or in the next sweep"),
    Step("put", "referred", "I1: S3 has it, it is no garbage; I2: what it replaces is an orphan"),
    Step("delete", "dropped", "I2: the blob, if nothing else refers to it, is an orphan"),
    # S3 has not got the object of a file, or another one.
    Step("read", "lost", "I1: nothing refers anew to what is not there: a PUT of it stores it"),
    # An orphan has no reference; it may get one again until it is discarded, in one transaction.
    Step("clean", "led",       "nothing is changed; the lead runs out"),
    Step("clean", "discarded", "I2: orphans past their grace are garbage: nobody can refer again"),
    Step("clean", "chosen",    "nothing is changed"),
    Step("clean", "deleted",   "I3: S3 has deleted garbage, which is garbage still: deleted again"),
    Step("clean", "collected", "its keys rest for a day: a DELETE that comes late hits nothing"),
    Step("clean", "listed",    "nothing is changed"),
    Step("clean", "found",     "I3: what nobody knew of is garbage, for the next pass if not this"),
)
# fmt: on

OnStep = Callable[[Operation, str], None]
"""Told of every step when it is done. For tests: it is where a process can be killed."""


def ignore_step(operation: Operation, name: str) -> None:
    """Nothing is done about it."""
