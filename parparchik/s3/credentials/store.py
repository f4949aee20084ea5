"""Credentials at hand, renewed in the background before they end.

`current` is called for every presigned URL, so it only looks; `run` does the asking. What a source
answers is taken over only when it is sound and still valid, so a source that fails for an hour
costs nothing while the last good credentials last.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
import trio

from parparchik.errors import NoCredentials
from parparchik.rfc import format_iso8601
from parparchik.s3.credentials.chain import resolve
from parparchik.s3.credentials.schedule import ask_again_in_s, backoff_s, renew_in_s
from parparchik.s3.credentials.source import Found, Source
from parparchik.s3.sigv4 import Credentials

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

# Sleep is measured by another clock than expiry: when the wall clock is set, or the machine was
# suspended, this is how late it is noticed.
_NAP_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """What an operator may see. `key_id_tail` is the end of the access key id, '' without one;
    `expires_at_s` is None for credentials without an end; `failure` is why the last attempt
    failed, None after one that went well."""

    source: str
    key_id_tail: str
    expires_at_s: float | None
    failure: str | None


class CredentialStore:
    """The credentials of one source, or of the first of several that has some.

    Buckets with the same settings share one store. `now` is the wall clock, in seconds; `chance`
    yields numbers in [0, 1).
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._sources = tuple(sources)
        self._now = now
        self._chance = chance
        self._held: Found | None = None
        self._renew_at_s: float | None = None
        self._failure: str | None = "no credentials for S3: no source was asked yet"
        self._asking = trio.Lock()

    def current(self) -> Credentials:
        """The credentials to sign with now.

        Raises NoCredentials, saying what each source lacks, when there are none or they expired.
        """
        held = self._held
        if held is None:
            raise NoCredentials(str(self._failure))
        if not self._is_valid(held):
            expired_at = _iso(held.credentials.expires_at_s)
            why = f"; {self._failure}" if self._failure else ""
            raise NoCredentials(f"{held.source.name}: the credentials expired at {expired_at}{why}")
        return held.credentials

    async def load(self) -> None:
        """Ask the sources, unless valid credentials are held. Callers at the same time wait for
        one answer. Raises NoCredentials."""
        async with self._asking:
            if self._held is None or not self._is_valid(self._held):
                await self._renew()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the credentials fresh, for ever. Started when the first attempt has ended, well or
        not; that takes a second where nothing is set up and there is no EC2, and a minute at the
        worst (a credential process that hangs)."""
        failures = await self._try_to_renew(0)
        task_status.started()
        while True:
            if failures:
                await trio.sleep(backoff_s(failures, chance=self._chance()))
            else:
                await self._sleep_until_due()
            failures = await self._try_to_renew(failures)

    def describe(self) -> CredentialStatus:
        held = self._held
        if held is None:
            names = ", ".join(source.name for source in self._sources)
            return CredentialStatus(names, "", None, self._failure)
        credentials = held.credentials
        return CredentialStatus(
            held.source.name,
            credentials.access_key_id[-4:],
            credentials.expires_at_s,
            self._failure,
        )

    def _is_valid(self, held: Found) -> bool:
        expires_at_s = held.credentials.expires_at_s
        return expires_at_s is None or self._now() < expires_at_s

    def _is_due(self) -> bool:
        if self._held is None:
            return True
        return self._renew_at_s is not None and self._now() >= self._renew_at_s

    async def _try_to_renew(self, failures: int) -> int:
        """Returns how many attempts have failed in a row, given how many had before. Asks nobody
        when somebody else has just been given an answer."""
        async with self._asking:
            if not self._is_due():
                return 0
            try:
                await self._renew()
            except NoCredentials as error:
                serving = self._held is not None and self._is_valid(self._held)
                log.warning(
                    "credentials not renewed" if self._held else "credentials not found",
                    reason=str(error),
                    failures=failures + 1,
                    last_good_ones_still_serve=serving,
                )
                return failures + 1
        return 0

    async def _renew(self) -> None:
        """Ask, and take the answer over. While the last good credentials serve, only their source
        is asked; after that all are, for the operator may have mended another."""
        held = self._held
        sources = (held.source,) if held and self._is_valid(held) else self._sources
        try:
            found = await resolve(sources, now=self._now)
        except NoCredentials as error:
            self._failure = str(error)
            raise
        self._failure = None
        self._held = found
        unchanged = held is not None and held.credentials == found.credentials
        self._renew_at_s = self._renewal(found.credentials, unchanged=unchanged)
        if not unchanged:
            status = self.describe()
            log.info(
                "credentials renewed" if held else "credentials found",
                source=status.source,
                key_id_tail=status.key_id_tail,
                expires_at=_iso(status.expires_at_s),
            )

    def _renewal(self, credentials: Credentials, *, unchanged: bool) -> float | None:
        """When to ask again, by the wall clock; None for credentials without an end."""
        if credentials.expires_at_s is None:
            return None
        now_s = self._now()
        life_s = credentials.expires_at_s - now_s
        pause_s = ask_again_in_s(life_s) if unchanged else renew_in_s(life_s, chance=self._chance())
        return now_s + pause_s

    async def _sleep_until_due(self) -> None:
        if self._renew_at_s is None:
            await trio.sleep_forever()
        while (left_s := self._renew_at_s - self._now()) > 0:  # noqa: ASYNC110  clocks have no event
            await trio.sleep(min(left_s, _NAP_MAX_S))


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else format_iso8601(int(time_s))
