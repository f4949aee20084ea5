"""Requests of which the head has come and the body has not, held for a moment.

Many clients write head and body one after the other, so the body of a small upload is nearly always
there at once. Where it is not, its connection is handed over with what has come of it: slow bodies
are somebody else's to wait for, and nothing here grows with them.
"""

from __future__ import annotations

import trio

from parparchik.edge.connection import After, Connection, State
from parparchik.edge.table import Table

HOLD_S = 0.05
MOST_HELD = 256
"""At a time: with the largest heads and bodies, 20 MiB."""


class Holding:
    """Lives as long as one run of the reactor."""

    def __init__(self, table: Table, nursery: trio.Nursery) -> None:
        self._table = table
        self._nursery = nursery
        self._since_s: dict[Connection, float] = {}
        self._watching = False

    def has_room(self) -> bool:
        return len(self._since_s) < MOST_HELD

    def hold(self, connection: Connection, needed_bytes: int) -> None:
        """Until so many have been received."""
        connection.needed_bytes = needed_bytes
        self._since_s[connection] = trio.current_time()
        if not self._watching:
            self._watching = True
            self._nursery.start_soon(self._watch)

    def let_go(self, connection: Connection) -> None:
        connection.needed_bytes = 0
        self._since_s.pop(connection, None)

    def give_away(self, connection: Connection) -> None:
        """The rest of its body is not waited for."""
        self.let_go(connection)
        self._table.finish(connection, b"", After.HAND_OVER)

    async def _watch(self) -> None:
        while self._since_s:
            await trio.sleep(HOLD_S)
            late_s = trio.current_time() - HOLD_S
            for connection, since_s in tuple(self._since_s.items()):
                if connection.state is State.CLOSED:
                    self.let_go(connection)
                # Whoever has yet to take the answers before it is served here that long.
                elif connection.state is State.READING and since_s <= late_s:
                    self.give_away(connection)
        self._watching = False
