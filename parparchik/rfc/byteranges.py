"""Several ranges in one answer: multipart/byteranges (RFC 9110 section 14.6, RFC 2046 section 5.1).

The framing is known before a byte of the body is, and so is the length of it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parparchik.content import Span
from parparchik.rfc.ranges import content_range


@dataclass(frozen=True, slots=True)
class ByteRanges:
    """Each part is its head, then the bytes of its span; after the last one comes `end`."""

    content_type: str
    parts: tuple[tuple[bytes, Span], ...]
    end: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.end) + sum(len(head) + span.size_bytes for head, span in self.parts)


def frame(
    spans: Sequence[Span], *, size_bytes: int, content_type: str, boundary: str
) -> ByteRanges:
    """Spans of a representation of `size_bytes` and `content_type` ('': not said). `boundary` is
    what must not occur in the bytes: up to 70 characters, best at random."""
    heads: list[bytes] = []
    for span in spans:
        said = f"Content-Type: {content_type}\r\n" if content_type else ""
        placed = f"Content-Range: {content_range(span, size_bytes)}\r\n"
        before = "\r\n" if heads else ""
        heads.append(f"{before}--{boundary}\r\n{said}{placed}\r\n".encode("latin-1"))
    return ByteRanges(
        f"multipart/byteranges; boundary={boundary}",
        tuple(zip(heads, spans, strict=True)),
        f"\r\n--{boundary}--\r\n".encode("latin-1"),
    )
