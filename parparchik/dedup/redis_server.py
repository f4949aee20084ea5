"""A Redis or Valkey server, asked by scripts; the one module that knows coredis.

A call that was begun goes to its end in the server's own nursery, also where nobody waits for it
any more: coredis loses a place in its pool, and leaves a socket open, when it is cancelled while it
connects. Every step of a call has a time-out, so its end comes; at the end of all it is waited for.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import structlog
import trio

from parparchik.dedup.redis_scripts import NAMES, Script
from parparchik.errors import ConfigError, MetadataUnavailable

if TYPE_CHECKING:
    from coredis import Redis

CONNECT_S = 2.0
ANSWER_S = 5.0
PLACE_S = 30.0  # for a place in the pool and a connection: more than its steps' own time-outs
REPLICAS_S = 1.0
ADVISE_AGAIN_S = 10.0
CLOSE_S = 5.0

_log = structlog.get_logger(__name__)

_EVICTING = "keys of the dedup store may be evicted: set maxmemory-policy noeviction"
_ADVICE: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    (
        "appendonly",
        lambda value: value == "yes",
        "Redis forgets acknowledged changes when it is restarted: set appendonly yes",
    ),
    (
        "appendfsync",
        lambda value: value in ("always", "everysec"),
        "Redis does not write to disk by itself: set appendfsync always (or everysec)",
    ),
    ("maxmemory-policy", lambda value: value == "noeviction", _EVICTING),
)


class Advice(NamedTuple):
    """A setting of the server that loses changes, and what to set."""

    setting: str
    value: str
    sentence: str


class _Call:
    """One that is under way. `result` is there when `done` is set, unless `error` is, or neither:
    then the server was closed meanwhile."""

    __slots__ = ("done", "error", "result")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None
        self.result: list[Any] = []


class RedisServer:
    """`place` is what messages call it. Open it with `open`.

    Every method raises MetadataUnavailable where the server does not do it.
    """

    def __init__(
        self, client: Redis[str], nursery: trio.Nursery, place: str, keys: tuple[str, ...]
    ) -> None:
        import coredis.exceptions

        self._client = client
        self._nursery = nursery
        self._place = place
        self._keys = keys
        self._errors = coredis.exceptions
        self._closed = False
        self._under_way = 0
        self._idle = trio.Event()  # closed, and nothing is under way any more

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, place: str, tag: str) -> AsyncIterator[Self]:
        """Whether the server is there or not: it is connected to when it is asked. `tag` tells its
        keys from those of others, and has all of them in one slot of a cluster."""
        keys = tuple(f"{{{tag}}}:{name}" for name in NAMES)
        async with client_of(url) as client, trio.open_nursery() as nursery:
            server = cls(client, nursery, place, keys)
            nursery.start_soon(server.advise)
            try:
                yield server
            finally:
                await server._close()
                nursery.cancel_scope.cancel()

    async def run(self, script: Script, *args: str) -> Any:
        """What it returns; false is None."""
        return await self._do(partial(self._script, script, args))

    async def read(self, script: Script, *args: str) -> Any:
        """As `run`, for one that changes nothing: it is sent again where a connection broke."""
        return await self._do(partial(self._twice, partial(self._script, script, args)))

    async def replicated(self, script: Script) -> None:
        """Run `script`, which has to write, and have every replica that is connected say that it
        has all that was written before."""
        await self._do(partial(self._replicated, script))

    async def advise(self) -> None:
        """Say what of the server's settings loses changes, as soon as it can be asked."""
        while True:
            try:
                advice = await self.advice()
            except MetadataUnavailable as error:
                _log.warning("the metadata store does not answer", reason=str(error))
                await trio.sleep(ADVISE_AGAIN_S)
            else:
                break
        if advice is None:
            _log.info("the metadata store does not tell its settings", place=self._place)
        for one in advice or ():
            _log.warning(one.sentence, place=self._place, setting=one.setting, value=one.value)

    async def advice(self) -> Sequence[Advice] | None:
        """On each of the server's settings that loses changes; None where it does not tell."""
        found: Sequence[Advice] | None = await self._do(partial(self._twice, self._advice))
        return found

    # -- a call ---------------------------------------------------------------------------------

    async def _do(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        if self._closed:
            raise MetadataUnavailable(f"the dedup database {self._place} is closed")
        call = _Call()
        self._under_way += 1
        self._nursery.start_soon(self._finish, call, ask)
        await call.done.wait()
        if call.error is not None:
            raise call.error
        if not call.result:
            raise MetadataUnavailable(f"the dedup database {self._place} was closed")
        return call.result[0]

    async def _close(self) -> None:
        self._closed = True
        if self._under_way:
            with trio.move_on_after(CLOSE_S, shield=True):
                await self._idle.wait()

    async def _finish(self, call: _Call, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            call.result.append(await ask())
        except TimeoutError as error:
            # Whatever hangs is not to be asked again: other connections may be better.
            self._client.connection_pool.disconnect()
            call.error = self._failure("does not answer in time", error)
        except (self._errors.RedisError, OSError) as error:
            call.error = self._failure(self._reason(error), error)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            call.error = error
        finally:
            call.done.set()
            self._under_way -= 1
            if self._closed and not self._under_way:
                self._idle.set()

    async def _twice(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except (self._errors.BusyLoadingError, self._errors.ProtocolError):
            raise
        except self._errors.ConnectionError:
            return await ask()

    async def _script(self, script: Script, args: tuple[str, ...]) -> Any:
        try:
            return await self._client.evalsha(script.sha, self._keys, args)
        except self._errors.NoScriptError:  # the server is new, or forgot it
            return await self._client.eval(script.source, self._keys, args)

    async def _replicated(self, script: Script) -> None:
        state = await self._client.info("replication")
        replicas = int(str(state.get("connected_slaves", 0)))
        with self._client.ensure_replication(replicas, int(REPLICAS_S * 1000)):
            await self._script(script, ())

    async def _advice(self) -> Sequence[Advice] | None:
        advice: list[Advice] = []
        for name, is_good, sentence in _ADVICE:
            try:
                found = await self._client.config_get([name])
            except self._errors.ResponseError:
                return None
            value = str(found.get(name, ""))
            if not is_good(value):
                advice.append(Advice(name, value, sentence))
        return advice

    # -- what goes wrong ------------------------------------------------------------------------

    def _failure(self, reason: str, error: Exception) -> MetadataUnavailable:
        failure = MetadataUnavailable(f"the dedup database {self._place} {reason}")
        failure.__cause__ = error
        return failure

    def _reason(self, error: Exception) -> str:
        if isinstance(error, self._errors.BusyLoadingError):
            return "is still loading its data"
        if isinstance(error, self._errors.ReadOnlyError):
            return "is a replica, which cannot be written to: name the primary"
        if isinstance(error, self._errors.AskError):  # and MOVED
            return "is a node of a cluster that has not got our keys: name the one that has"
        if isinstance(error, self._errors.ReplicationError):
            return "has replicas that are behind; nothing is deleted before they have caught up"
        if isinstance(error, self._errors.AuthenticationError | self._errors.AuthorizationError):
            return f"does not let us in: {error}"
        if isinstance(error, self._errors.ResponseError):
            return f"refuses: {error}"
        return f"cannot be reached: {error}"


def check_redis(url: str) -> None:
    """Raises ConfigError without coredis, and for a URL that is none."""
    client_of(url)


def client_of(url: str) -> Redis[str]:
    """Not connected. Raises ConfigError as `check_redis` does."""
    try:
        import coredis
        from coredis.retry import NoRetryPolicy
    except ImportError:
        raise ConfigError(
            "PARPARCHIK_DEDUP_METADATA: redis:// needs coredis: install parparchik[redis]"
        ) from None
    # What fails is raised, and told by who asked.
    logging.getLogger("coredis").setLevel(logging.CRITICAL)
    # coredis itself would let any certificate pass.
    secure: dict[str, Any] = {}
    if url.startswith("rediss:"):
        secure["ssl_context"] = ssl.create_default_context()
    try:
        return coredis.Redis.from_url(
            url,
            decode_components=True,
            decode_responses=True,
            # A change that is sent twice may answer as if it had come too late.
            retry_policy=NoRetryPolicy(),
            connect_timeout=CONNECT_S,
            stream_timeout=ANSWER_S,
            pool_timeout=PLACE_S,
            **secure,
        )
    except (ValueError, TypeError) as error:
        # Its message may quote the URL, with the password in it.
        raise ConfigError(f"PARPARCHIK_DEDUP_METADATA: {type(error).__name__}") from None
