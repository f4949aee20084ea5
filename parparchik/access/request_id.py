"""Request ids: the client's where it is sane, else one of ours."""

from __future__ import annotations

import re
from itertools import count
from secrets import token_hex

is_sane_request_id = re.compile(rb"[\x21-\x7e]{1,128}").fullmatch
"""Truthy for what is taken over from a client: 1 to 128 visible ASCII characters."""


class RequestIds:
    """Ids that no other process gives: 32 hexadecimal digits, of which the first half is drawn
    when the process starts and the second counts. They are labels, not secrets."""

    __slots__ = ("_next", "_prefix")

    def __init__(self) -> None:
        self._prefix = token_hex(8).encode()
        self._next = count(int(token_hex(4), 16)).__next__

    def new(self) -> bytes:
        return b"%b%016x" % (self._prefix, self._next())
