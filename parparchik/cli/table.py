"""Tables in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first of them headings, in aligned columns without trailing spaces."""
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def printable(text: str) -> str:
    """Text that somebody else chose (a key, an ETag), unable to command the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
