"""What whoever keeps count of requests elsewhere is told of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """What requests that are answered alike have in common. `resource` is the request target
    without its secrets, `forwarded_for` the X-Forwarded-For of the request, to be believed or not.
    """

    method: str
    resource: str
    status: int
    media_type: str
    compressed: bool
    size_bytes: int
    forwarded_for: str = ""


Observe = Callable[[Observation, float, str], None]
"""Called with what was answered, the seconds that it took, and the address of whoever sent the
request; from the event loop, for every request, so it only takes note."""
