"""The answer to one question, for all who wait for it."""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

from parparchik.errors import UpstreamError

T = TypeVar("T")


class Flight(Generic[T]):
    """Lands or fails once; what is said of it after that changes nothing."""

    __slots__ = ("_done", "_error", "_value")

    def __init__(self) -> None:
        self._done = trio.Event()
        self._value: T
        self._error: UpstreamError | None = None

    @property
    def over(self) -> bool:
        return self._done.is_set()

    def land(self, value: T) -> None:
        if not self.over:
            self._value = value
            self._done.set()

    def fail(self, error: UpstreamError) -> None:
        if not self.over:
            self._error = error
            self._done.set()

    async def wait(self) -> T:
        """What it landed with, or its error."""
        if not self.over:
            await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value
