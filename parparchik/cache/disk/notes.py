"""What was forgotten is written down, for as long as there may be a file that says otherwise."""

from __future__ import annotations

import contextlib

import trio

from parparchik.cache.disk.directory import Directory
from parparchik.cache.disk.forgotten import Forgotten
from parparchik.cache.disk.lane import Lane
from parparchik.cache.disk.ledger import Ledger
from parparchik.cache.disk.log import Clear, ForgottenLog, Note, Sync
from parparchik.cache.disk.sweeping import Sweeper
from parparchik.content import ObjectName

LOG_MAX_BYTES = 1 << 20
"""With more written down, it is seen to that it need not be."""

CLEAR_EVERY_S = 10.0


class Notes:
    """`names` is the lane that files are deleted by: what is written down and what is deleted keep
    their order. Before `begin` there is no directory, and all is kept in mind."""

    __slots__ = (
        *("_begun", "_ledger", "_log", "_names", "_sweeper", "_unnoted", "_whole", "forgotten"),
    )

    def __init__(
        self, directory: Directory, ledger: Ledger, sweeper: Sweeper, names: Lane, run: str
    ) -> None:
        self.forgotten = Forgotten(run)
        self._log = ForgottenLog(directory)
        self._ledger = ledger
        self._sweeper = sweeper
        self._names = names
        self._begun = False
        self._unnoted = False  # something that is forgotten could not be written down
        self._whole = False  # all files are known

    def add(self, name: ObjectName, number: int) -> None:
        """The object is not to be believed as it was saved up to this number."""
        with contextlib.suppress(ValueError):  # then nothing of it was ever saved
            self._note(self.forgotten.add(name, number))

    def add_below(self, bucket: str, prefix: str, number: int) -> None:
        """Likewise all that begins with the prefix."""
        with contextlib.suppress(ValueError):
            self._note(self.forgotten.add_below(bucket, prefix, number))

    def begin(self) -> None:
        """The directory is ours."""
        self._begun = True
        for line in list(self.forgotten.lines()):
            self._note(line)

    async def settle(self) -> bool:
        """As `DiskStore` has it."""
        if not self._begun:
            return False
        self._ledger.retry_stuck()
        if self._unnoted and self._whole:
            # There may be no room to write it down. To delete takes none.
            return await self._clear()
        if self._unnoted:
            self._unnoted = False
            for line in self.forgotten.lines():
                self._note(line)
        sync = Sync(self._log)
        self._names.put(sync)
        await sync.done.wait()
        if sync.error is not None:
            self._ledger.deleting.failed(sync.error)
        return sync.error is None and not self._unnoted

    def all_is_known(self, recalled_bytes: int) -> None:
        """All files are: what is deleted need not stay written down. So many bytes were at the
        start."""
        self._log.size_bytes += recalled_bytes
        self._whole = self.forgotten.forgetful = True

    async def keep_short(self) -> None:
        """Once all is known: until cancelled."""
        due_bytes = 0
        while True:
            if self._log.size_bytes > due_bytes and not self._ledger.stuck:
                await self._clear()
                due_bytes = LOG_MAX_BYTES
            await trio.sleep(CLEAR_EVERY_S)

    def end(self) -> None:
        """What was written down is to be durable before the directory is left."""
        self._names.put(Sync(self._log))

    def _note(self, line: bytes) -> None:
        if self._begun:
            self._names.put(Note(self._log, line, self._noted))

    def _noted(self, error: Exception | None) -> None:
        if error is not None:
            self._ledger.deleting.failed(error)
            self._unnoted = True

    async def _clear(self) -> bool:
        """Have nothing written down any more, because it is done. All files are known."""
        ledger = self._ledger
        await self._sweeper.idle()  # what is still to be deleted has to stay written down
        if ledger.stuck:
            return False
        clear = Clear(self._log, ledger.unsynced, ledger.unlink_failures)
        self._unnoted = False
        self._names.put(clear)
        await clear.done.wait()
        if clear.error is not None:
            ledger.deleting.failed(clear.error)
        self._unnoted |= not clear.cleared
        return clear.cleared
