"""One question: what is the answer to this request? Asked here by every plane.

`Responder.ask` understands a request once; the `FileQuestion` that it gives is then asked for its
answer as often as the same request comes. No framework and no socket is known here, and S3 only as
whoever signs a URL.

A bucket may be *relayed*: then the answer is the file itself, and whoever delivers it is asked.

A redirect that was prepared is kept with the entry it was made from. It answers again as long as
the registry still gives that very entry, and, for a presigned URL, until a twentieth of the URL's
life has passed: so every client gets at least nineteen twentieths of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from parparchik.config.model import AuthConfig, RoutesConfig
from parparchik.errors import ParparchikError
from parparchik.model import Answer, Entry, Method, ObjectStore, Question, Request, Unfinished
from parparchik.registry import Resolution
from parparchik.routes import answers
from parparchik.routes.authorize import Authenticator
from parparchik.routes.prepared import PreparedRedirects
from parparchik.routes.target import Namespaces, Target


class Lookup(Protocol):
    """Where a key is; `registry.Service` is one."""

    def resolve_nowait(self, key: str) -> Resolution | None: ...

    def resolve_soon(
        self, key: str, then: Callable[[Resolution | Unfinished[Resolution]], None]
    ) -> bool: ...

    async def resolve(self, key: str) -> Resolution: ...


class Relay(Protocol):
    """Serves the files of a bucket through us."""

    def ask(self, request: Request, entry: Entry, *, absent: Answer) -> Question:
        """The file itself; `absent` is the answer where it turns out to be gone."""
        ...


class Responder:
    """Answers GET and HEAD of file routes. `relays` are for the buckets, by name, that clients are
    not sent to."""

    def __init__(
        self,
        lookup: Lookup,
        stores: Sequence[ObjectStore],
        config: RoutesConfig,
        auth: AuthConfig,
        *,
        relays: Mapping[str, Relay] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.lookup = lookup
        self.config = config
        self.relays = relays or {}
        self.now = now
        self.prepared = PreparedRedirects(stores, config)
        self._namespaces = Namespaces([store.bucket for store in stores])
        self._authenticator = Authenticator(auth)

    def ask(self, request: Request) -> FileQuestion:
        """What `request` asks. What can be no route is a question too: it knows its answer."""
        final = None
        try:
            target = self._namespaces.parse(request.target)
        except ParparchikError as error:
            target = Target("", "", None)
            final = answers.failure(error, kind="invalid")
        else:
            if not target.key or target.namespace is None:
                final = answers.not_found(target.route, kind=_kind(target))
        allowed = final is not None or self._authenticator.allows(request.api_key)
        return FileQuestion(self, request, target, final=final, allowed=allowed)


class FileQuestion:
    """`model.Question` for one request. Of an API key only whether it was `allowed` matters.
    `final` is the answer where no key is asked for."""

    __slots__ = (
        "_allowed",
        "_answer",
        "_final",
        "_from_s",
        "_kind",
        "_method",
        "_now",
        "_relayed",
        "_request",
        "_resolution",
        "_resolve_nowait",
        "_responder",
        "_target",
        "_until_s",
    )

    def __init__(
        self,
        responder: Responder,
        request: Request,
        target: Target,
        *,
        final: Answer | None,
        allowed: bool,
    ) -> None:
        self._responder = responder
        self._resolve_nowait = responder.lookup.resolve_nowait
        self._now = responder.now
        self._request = request
        self._method: Method = "HEAD" if request.method == "HEAD" else "GET"
        self._target = target
        self._kind = _kind(target)
        self._final = final
        self._allowed = allowed
        # The last answer, what it was made from, and when (by the wall clock) it holds.
        self._answer: Answer | None = None
        self._resolution: Resolution | None = None
        self._from_s = self._until_s = 0.0
        # Whom to ask instead, and for which entry, where the file is served through us.
        self._relayed: tuple[Entry, Question] | None = None

    def answer_nowait(self) -> Answer | None:
        if self._final is not None:
            return self._final
        resolution = self._resolve_nowait(self._target.key)
        if resolution is None:
            return None
        answer = self._answer_to(resolution)
        return answer if isinstance(answer, Answer) else answer.answer_nowait()

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        def tell(outcome: Resolution | Unfinished[Resolution]) -> None:
            if isinstance(outcome, Unfinished):
                then(Unfinished(partial(self._answer_from, outcome.finish)))
                return
            answer = self._answer_to(outcome)
            then(answer if isinstance(answer, Answer) else Unfinished(answer.answer))

        if self._final is not None:
            return False
        return self._responder.lookup.resolve_soon(self._target.key, tell)

    async def answer(self) -> Answer:
        if self._final is not None:
            return self._final
        return await self._answer_from(partial(self._responder.lookup.resolve, self._target.key))

    async def _answer_from(self, resolve: Callable[[], Awaitable[Resolution]]) -> Answer:
        try:
            resolution = await resolve()
        except ParparchikError as error:
            if not self._permits(None):
                return answers.unauthorized(kind=self._kind)
            return answers.failure(error, kind=self._kind)
        answer = self._answer_to(resolution)
        return answer if isinstance(answer, Answer) else await answer.answer()

    def _answer_to(self, resolution: Resolution) -> Answer | Question:
        """The answer, or whom to ask for it."""
        now_s = self._now()
        if (
            resolution is self._resolution
            and self._answer is not None
            # Not when younger than nothing either: a clock that was set back has signed for
            # another time.
            and self._from_s <= now_s < self._until_s
        ):
            return self._answer
        self._resolution, self._from_s, self._until_s = resolution, -math.inf, math.inf
        made = self._make_answer(resolution, now_s)
        self._answer = made if isinstance(made, Answer) else None
        return made

    def _make_answer(self, resolution: Resolution, now_s: float) -> Answer | Question:
        entry, namespace, config = resolution.entry, self._target.namespace, self._responder.config
        if entry and namespace and config.strict and not namespace.is_route_of(entry):
            entry = None
        if not self._permits(entry):
            return answers.unauthorized(kind=self._kind)
        if entry is None:
            return answers.not_found(self._target.route, kind=self._kind)
        if relay := self._responder.relays.get(entry.bucket.name):
            return self._relay(relay, entry)
        try:
            prepared = self._responder.prepared.get(self._method, entry, now_s)
        except ParparchikError as error:
            self._resolution = None  # credentials may come back at any moment
            return answers.failure(error, kind=self._kind)
        self._from_s, self._until_s = prepared.from_s, prepared.until_s
        fresh = resolution.fresh if config.verified_header else None
        return prepared.answer(fresh, self._kind)

    def _relay(self, relay: Relay, entry: Entry) -> Question:
        if self._relayed is None or self._relayed[0] is not entry:
            absent = answers.not_found(self._target.route, kind=self._kind)
            self._relayed = entry, relay.ask(self._request, entry, absent=absent)
        return self._relayed[1]

    def _permits(self, entry: Entry | None) -> bool:
        """Permission follows the object; where there is none, the URL, so that who may not see
        private files does not learn from it which of them exist."""
        namespace = self._target.namespace
        public = entry.bucket.public if entry else namespace is None or namespace.public
        return public or self._allowed


def _kind(target: Target) -> str:
    return "unknown" if target.namespace is None else target.namespace.kind
