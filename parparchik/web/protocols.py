"""What the web room asks of the rooms it stands on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

from parparchik.model import Entry, Question, Request

# ASGI 3.0's messages and scopes are open mappings by specification.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Checks = Callable[[], Awaitable[Mapping[str, str]]]
"""Whether other systems work that we need: "ok" or why not, by the name of each. Takes no longer
than a probe waits."""


class FileRoutes(Protocol):
    """Request in, question out, which knows the answer or asks for it."""

    def ask(self, request: Request) -> Question: ...


class Relocated(Protocol):
    """Where a file is after `relocate`; the optional parts say what that changed."""

    @property
    def entry(self) -> Entry: ...
    @property
    def relocated_from(self) -> str | None: ...
    @property
    def relocated_to(self) -> str | None: ...
    @property
    def duplicate(self) -> bool: ...
    @property
    def note(self) -> str | None: ...


class RegistryService(Protocol):
    """The registry as the management API uses it. What asks S3 raises UpstreamError; what writes
    manifests returns after they are written and raises PersistFailed."""

    @property
    def ready(self) -> bool:
        """Whether the start-up reconciliation has ended."""
        ...

    @property
    def count(self) -> int: ...

    async def update(self, key: str) -> Entry | None: ...

    async def relocate(self, key: str) -> Relocated | None: ...

    async def sync(self) -> None:
        """Read the buckets again; concurrent callers share one pass."""
        ...


class Files(Protocol):
    def sorted_batches(self) -> AsyncGenerator[list[Entry], None]:
        """Every entry by key, at most 1,000 at a time; others run in between. Who does not want
        all of them closes it."""
        ...


class Readiness(Protocol):
    def reason(self) -> str | None:
        """Why this process should be sent no requests; None when it should."""
        ...


class Exposition(Protocol):
    async def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, body) of a scrape for an Accept header."""
        ...
