"""Messages on a stream of bytes: four bytes of length, big-endian, and so many bytes. Pure."""

from __future__ import annotations

LARGEST_BYTES = 64 * 1024 * 1024
"""More than any message of ours has: a length above it is garbage."""

_LENGTH_BYTES = 4


class BrokenFrame(Exception):
    """The bytes are not what the other side of the channel writes."""


def frame(payload: bytes) -> bytes:
    if len(payload) > LARGEST_BYTES:
        raise BrokenFrame(f"a message of {len(payload)} bytes is too long for the channel")
    return len(payload).to_bytes(_LENGTH_BYTES) + payload


class FrameReader:
    """Takes bytes as they come, gives whole payloads."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """The payloads that `data` completes. Raises BrokenFrame."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            begin = start + _LENGTH_BYTES
            size_bytes = int.from_bytes(buffer[start:begin])
            if size_bytes > LARGEST_BYTES:
                raise BrokenFrame(f"a message of {size_bytes} bytes is announced")
            if len(buffer) - begin < size_bytes:
                break
            start = begin + size_bytes
            payloads.append(bytes(buffer[begin:start]))
        del buffer[:start]
        return payloads
