"""At which keys blobs are stored: `<prefix>ab/cd/<digest>`, named after their content.

A key that was given out before, and whose object was deleted lately or is about to be, is not given
out again: a DELETE that comes late would hit the wrong object. The blob then gets `another` key.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from parparchik.errors import ConfigError

REST_S = 24 * 3600  # no DELETE is under way for longer
DIGEST_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Keys:
    """`depth` is the number of folders of two hex digits each, 0 to 8. `bucket` is where they are:
    no part of them, but two stores that share a database are told apart by it."""

    prefix: str = ""
    depth: int = 2
    bucket: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.depth <= 8:
            raise ConfigError(f"dedup key_depth must be between 0 and 8, not {self.depth}")

    def plain(self, digest: str) -> str:
        folders = "".join(f"{digest[2 * at : 2 * at + 2]}/" for at in range(self.depth))
        return f"{self.prefix}{folders}{digest}"

    def another(self, digest: str) -> str:
        """Never the same twice."""
        return f"{self.plain(digest)}-{secrets.token_hex(4)}"
