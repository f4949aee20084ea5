"""What a client may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_connections` counts those that were handed over too; at it, accepting pauses.

    `header_timeout_s` runs from the first byte of a request to the last of its head,
    `idle_timeout_s` between requests, `write_timeout_s` since the client last took a byte. All
    are looked at once a second. Larger heads, targets and bodies than the maxima are handed over.
    """

    max_connections: int = 10_000
    header_timeout_s: float = 15.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 60.0
    max_head_bytes: int = 16_384
    max_target_bytes: int = 8_192
    max_body_bytes: int = 65_536

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
