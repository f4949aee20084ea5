"""What is done to files, in threads.

Which calls of fsync a cache needs. That a file is lost is nothing; that a wrong one is served, or
one that was forgotten comes back, is everything.

- Of a piece's data, before it gets its name: yes. The kernel may accept a write and fail to bring
  it to disk later; it tells only who calls fsync, and may then give the page back as the disk has
  it. This process trusts what it has written without reading it again, so it has to know.
- Of the directory after the name was given: no. Without it a crash of the machine may lose the
  file, or bring back the one that it replaced, which is as true as it was: it says itself when S3
  last confirmed it.
- Of the directory after a name was taken away: no. That an object was forgotten is written down
  in one file, which is synced before anybody is told so: see `forgotten`. Only before that file
  is cleared the names have to be gone for good.

After a crash of the machine anything may be found in a file all the same. So its hash is checked
when a process that did not write it opens it for the first time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterator, Sequence

from parparchik.cache.disk.format import (
    TRAILER_BYTES,
    Tail,
    Unreadable,
    file_name,
    parse_tail,
    same_generation,
    sha256,
    tail_bytes,
    trailer,
)
from parparchik.cache.tiers import PieceName, Record

_LIKELY_TAIL_BYTES = 2048
_READ_BYTES = 1 << 20
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 8)  # Python names it only where its libc did
_IOV_MAX = 512


def write(path: str, blocks: Sequence[bytes], footer: bytes) -> None:
    """A new file with these data, on disk when this returns. Nothing is left when it raises."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            data_bytes = sum(map(len, blocks))
            end = footer + trailer(footer, data_bytes, sha256(blocks))
            _write_all(fd, [*blocks, end])
            if os.fstat(fd).st_size != data_bytes + len(end):
                raise OSError(f"{path}: not as long as was written")
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):  # `tmp/` is emptied at the next start
            os.unlink(path)
        raise


def open_piece(
    path: str, piece: PieceName, record: Record, *, check: bool, touch_s: float | None
) -> int:
    """Open the file of a piece that has to be of this generation; with `check` its data are
    hashed; `touch_s` is what its time is set to. Raises Unreadable and OSError."""
    fd = os.open(path, _READ_FLAGS)
    try:
        tail = _read_tail(fd)
        _expect(tail, piece, record)
        if check:
            _check(fd, tail)
        if touch_s is not None:
            with contextlib.suppress(OSError):  # it only tells the next process what was used
                os.utime(fd, (touch_s, touch_s))
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_piece_nowait(path: str, piece: PieceName, record: Record) -> int:
    """`open_piece` of one whose hash is known to be right, where what that looks at is in the
    kernel's cache. Raises BlockingIOError where it is not, and what `open_piece` raises."""
    fd = os.open(path, _READ_FLAGS)
    try:
        _expect(_read_tail(fd, wait=False), piece, record)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_tail(path: str, name: str) -> Tail:
    """What a file of that name says of itself. Raises Unreadable and OSError."""
    fd = os.open(path, _READ_FLAGS)
    try:
        tail = _read_tail(fd)
    finally:
        os.close(fd)
    if file_name(tail.piece) != name:
        raise Unreadable("misnamed")
    return tail


def rename(source: str, path: str) -> None:
    try:
        os.rename(source, path)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.rename(source, path)


def sync_folder(path: str) -> None:
    """Make durable which names there are in it; one that does not exist has none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: str) -> None:
    """Make durable all that was done to the file system that `path` is on: dearer than a folder,
    and cheaper than many."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)


def read_all(path: str, limit_bytes: int) -> bytes:
    """What a regular file holds, up to the limit; nothing where there is none."""
    try:
        fd = os.open(path, _READ_FLAGS)
    except FileNotFoundError:
        return b""
    with open(fd, "rb") as file:
        return file.read(limit_bytes) if stat.S_ISREG(os.fstat(fd).st_mode) else b""


def append(path: str, line: bytes) -> None:
    """Add to a file, which need not be there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, [line])
    finally:
        os.close(fd)


def sync_file(path: str) -> None:
    """Make durable what is in it."""
    fd = os.open(path, _READ_FLAGS)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_tail(fd: int, *, wait: bool = True) -> Tail:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("torn")
    size = status.st_size
    read = _read if wait else _read_nowait
    end = read(fd, size, min(size, max(_LIKELY_TAIL_BYTES, TRAILER_BYTES)))
    length = tail_bytes(end, size)
    return parse_tail(end[-length:] if length <= len(end) else read(fd, size, length))


def _read(fd: int, file_bytes: int, length: int) -> bytes:
    data = os.pread(fd, length, file_bytes - length)
    if len(data) != length:
        raise Unreadable("torn")
    return data


def _read_nowait(fd: int, file_bytes: int, length: int) -> bytes:
    """Raises BlockingIOError where it is not all in the page cache (preadv2(2), RWF_NOWAIT)."""
    buffer = bytearray(length)
    try:
        got = os.preadv(fd, [buffer], file_bytes - length, _NOWAIT)
    except (OSError, NotImplementedError):  # also where nobody can tell
        got = -1
    if got != length:
        raise BlockingIOError
    return bytes(buffer)


def _expect(tail: Tail, piece: PieceName, record: Record) -> None:
    if tail.piece != piece or not same_generation(tail.record, record):
        raise Unreadable("misnamed")


def _check(fd: int, tail: Tail) -> None:
    if sha256(_pieces(fd, tail.data_bytes)) != tail.data_sha256:
        raise Unreadable("torn")


def _pieces(fd: int, length: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(min(length, _READ_BYTES)))
    position = 0
    while position < length:
        got = os.preadv(fd, [buffer[: length - position]], position)
        if not got:
            raise Unreadable("torn")
        yield buffer[:got]
        position += got


def _write_all(fd: int, blocks: Sequence[bytes]) -> None:
    """All of the blocks, without joining them."""
    waiting: list[bytes | memoryview] = [block for block in blocks if block]
    while waiting:
        written = os.writev(fd, waiting[:_IOV_MAX])
        done = 0
        while done < len(waiting) and written >= len(waiting[done]):
            written -= len(waiting[done])
            done += 1
        del waiting[:done]
        if written:
            waiting[0] = memoryview(waiting[0])[written:]
