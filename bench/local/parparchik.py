"""`parparchik serve` as a process, set up for a load test."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.local.process import Running, free_port, start, wait_until
from bench.processes import environment, module_argv

_OURS = re.compile(r"(PARPARCHIK|AWS|S3)_")


@dataclass(frozen=True, slots=True)
class Settings:
    """`buckets` as in PARPARCHIK_BUCKETS, or '' for none of them; `s3` is the host:port of the S3;
    `more` are settings by the names of their variables, and win."""

    buckets: str
    s3: str
    port: int = field(default_factory=free_port)
    more: tuple[tuple[str, str], ...] = ()

    def environ(self) -> dict[str, str]:
        """Nothing of the caller's own settings counts. The access log is off: it would go to a
        file that nobody reads."""
        inherited = {k: v for k, v in environment().items() if not _OURS.match(k)}
        return {
            **inherited,
            **({"PARPARCHIK_BUCKETS": self.buckets} if self.buckets else {}),
            "PARPARCHIK_HOST": "127.0.0.1",
            "PARPARCHIK_PORT": str(self.port),
            "PARPARCHIK_LOG_FORMAT": "json",
            "PARPARCHIK_LOG_LEVEL": "warning",
            "PARPARCHIK_ACCESS_LOG": "false",
            "S3_ENDPOINT": self.s3,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench-secret-key",
            **dict(self.more),
        }


@asynccontextmanager
async def start_parparchik(
    settings: Settings,
    processors: Sequence[int] = (),
    *,
    until: str = "/readiness",
    extra: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """A server that answers 200 to `until`. Raises StartFailed."""
    environ = {**settings.environ(), **(extra or {})}
    async with start(module_argv("parparchik", "serve"), environ, processors) as running:
        await wait_until(running, settings.port, until)
        yield running
