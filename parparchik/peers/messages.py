"""What hosts say to each other. Pure.

POST /cache/forget  {"sender": "6f...", "names": [["bucket", "key"]], "below": [["bucket", "dir/"]]}
                    -> {"instance": "a1...", "forgotten": 3}

`below` is of all keys that begin so ('': all of the bucket). Nothing at all is a question whether
the peer is there, and who it is. A field that the other side does not know is refused, not
overlooked: it may be more to forget.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

FORGET_PATH = "/cache/forget"

MAX_CHANGES = 1000
"""In one request, names and prefixes each."""

_Pairs = Annotated[list[tuple[str, str]], msgspec.Meta(max_length=MAX_CHANGES)]


class Forget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sender` is the instance that asks."""

    sender: str
    names: _Pairs = []
    below: _Pairs = []


class Forgotten(msgspec.Struct, frozen=True):
    """None of the host's processes will give out what was there. `instance` is made up when the
    host's server starts; it tells a sender that it has asked itself. `forgotten` is how many
    objects were known, as far as that is known."""

    instance: str
    forgotten: int
