"""An answer whose body is at hand, written by the reactor as its client takes it: no task."""

from __future__ import annotations

import select
from collections.abc import Callable

from parparchik.edge.connection import GONE, Connection
from parparchik.edge.outgoing import Gone, Outgoing, Pushed
from parparchik.edge.table import Table
from parparchik.model import Block

ReadNowait = Callable[[], Block | None]
"""As `model.ReadyContent` has it."""

TURN_BYTES = 524_288
"""For one client, before the others have their turn. More at a time costs the kernel more for each
byte: what the client has not taken yet grows out of the processor's caches."""


class Sending:
    """A connection's `Writing`.

    `over` is called when that ends, with what went wrong; None where nothing did: all is written,
    or the connection is closed. Or `wait` is, when the body has to be waited for: then others go on
    with `out`.
    """

    blocked = True  # or epoll says otherwise at once, and it goes on

    def __init__(
        self,
        table: Table,
        connection: Connection,
        out: Outgoing,
        read_nowait: ReadNowait,
        *,
        over: Callable[[Exception | None], None],
        wait: Callable[[], None],
    ) -> None:
        self._table = table
        self._connection = connection
        self._out = out
        self._read_nowait = read_nowait
        self._over = over
        self._wait = wait
        self._before = self._head = b""

    def begin(self, before: bytes, head: bytes) -> None:
        """Write what the client takes at once of `before`, `head` and the body."""
        self._before, self._head = before, head
        self._go_on()

    def notice(self, events: int) -> None:
        if events & GONE:
            self._table.close(self._connection)
        else:
            self._go_on()

    def end(self) -> None:
        self._over(None)

    def _go_on(self) -> None:
        try:
            waits = self._write()
        except BlockingIOError:
            self._wait()
        except Gone:
            self._table.close(self._connection)
        except Exception as error:  # noqa: BLE001  whoever is told knows what to do about it
            self._over(error)
        else:
            if waits:
                # Not edge-triggered: where only its turn is over, it is told at once.
                self._table.watch(self._connection, select.EPOLLOUT)
            else:
                self._over(None)

    def _write(self) -> bool:
        """One turn; whether there is more. Raises BlockingIOError where the body has to be waited
        for, and what writing and reading raise."""
        out = self._out
        limit = out.sent_bytes + TURN_BYTES
        while out.sent_bytes < limit or not out.waits:
            if out.push(limit - out.sent_bytes) is not Pushed.ALL:
                return True
            if out.ended:
                return False
            # Before the head: as long as nothing has been said a failure can still be told.
            block = self._read_nowait()
            if not out.has_begun:
                out.say(self._before)
                out.begin(self._head)
            if block is None:
                out.end()
            else:
                out.add(block)
        return True
