"""The time for an attempt, kept at no cost where there is nothing to be cancelled.

A cancel scope is the dearest thing about a small request: it takes a fifth of its processor time.
Nearly every one of them is sent at once on a connection that lies ready, and then only sleeps until
the reactor calls, which keeps the time itself. So the scope is opened by who is about to wait for
anything else.
"""

from __future__ import annotations

import math
from types import TracebackType

import trio


class TimeLimit:
    """As a context, what a `trio.CancelScope` with this deadline is, from `begin` on.

    Who waits before that looks at `deadline_s` (monotonic), and at `begin` if it has passed.
    """

    __slots__ = ("_scope", "deadline_s")

    def __init__(self, deadline_s: float = math.inf) -> None:
        self.deadline_s = deadline_s
        self._scope: trio.CancelScope | None = None

    def begin(self) -> None:
        """To be called in the context's task, outside of scopes and nurseries that it has opened
        since; again is harmless."""
        if self._scope is None and self.deadline_s < math.inf:
            self._scope = trio.CancelScope(deadline=self.deadline_s)
            self._scope.__enter__()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        scope, self._scope = self._scope, None
        return scope is not None and bool(scope.__exit__(kind, error, traceback))


UNLIMITED = TimeLimit()
