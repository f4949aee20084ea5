"""A file that is written whole, or not at all."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """To be written to; `-` is standard output. What a regular file had before is replaced at the
    end, when all is on disk: what fails before that leaves it as it was. Raises OSError."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = file.resolve()  # of a link, what it leads to is replaced
    if target.exists() and not target.is_file():  # a pipe, or a device
        with file.open("wb") as out:
            yield out
        return
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as out:
            if target.exists():
                os.fchmod(out.fileno(), target.stat().st_mode & 0o777)
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
