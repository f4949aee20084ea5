"""What a process may have open (RLIMIT_NOFILE), and how much of it clients get.

A server that accepts as long as it can has no socket left for S3, and no file of the cache, when
those whom it has accepted ask for something. So what answers need is set aside first, and clients
share the rest; more of them wait in the kernel's queue, as at any other limit of theirs.

| set aside | how many |
|---|---|
| the process | `PROCESS`: standard streams, listeners, epolls, logs, locks, names being looked up |
| S3 | `s3.max_connections` for each place that a bucket is at |
| cache on disk | `IDLE_MAX`, and one for each fill; a client may have one more open |
| dedup store | one for each upload, `METADATA`, and `UPSTREAM` where it has one |
| sinks, other hosts | `EACH_OTHER` |

A client of HTTP/2 may have a file open for each of its streams. Where these use up what is left,
the cache on disk cannot be read, and S3 is asked instead: its connections are set aside.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace

import structlog

from parparchik.cache.disk import IDLE_MAX
from parparchik.config.model import Config
from parparchik.s3 import internal_address

PROCESS = 64
METADATA = 32
"""Of a SQLite database, its log and its readers, or of the connections to Redis."""
UPSTREAM = 64
EACH_OTHER = 2

LEAST_CLIENTS = 16
LEAST_S3 = 4
"""To one place. Below these nothing can be served; it is tried nevertheless, and said."""

UNLIMITED = 1 << 20
"""As good as: where the system names no number."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Allotment:
    """Of the `descriptors` that one process may have: how many `connections` of clients, and how
    many to each place of S3 (`s3_connections`), when `reserved` are set aside, these included.
    `enough`: they are no less than it takes."""

    descriptors: int
    connections: int
    s3_connections: int
    reserved: int
    enough: bool

    def of(self, config: Config) -> Config:
        """`config` with no more than that."""
        return replace(
            config,
            server=replace(config.server, max_connections=self.connections),
            s3=replace(config.s3, max_connections=self.s3_connections),
        )


def raise_descriptor_limit() -> None:
    """To what the system allows. The soft limit of most systems is 1,024, for the sake of
    programs that use select(2); this is none of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # some systems name a number that they do not give
        log.info("the limit of open files stays", reason=str(error))


def descriptor_limit() -> int:
    """How many this process may have open, and those that it starts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def allot(config: Config, descriptors: int) -> Allotment:
    """For one process with these settings. Pure. What is to be lowered is S3's part first, to half
    of all that there is, then the clients'."""
    places = {internal_address(b.bucket.name, b.endpoint).origin for b in config.every_bucket}
    wanted = config.s3.max_connections
    s3_connections = min(wanted, max(descriptors // 2 // max(len(places), 1), LEAST_S3))
    others = len(config.sinks.sinks) + len(config.cache.peers)
    reserved = PROCESS + s3_connections * len(places) + EACH_OTHER * others
    each = 1
    if config.cache.directory is not None:
        reserved += IDLE_MAX + config.cache.max_fills
        each = 2
    if config.dedup is not None:
        reserved += METADATA + config.dedup.max_uploads
        reserved += UPSTREAM if config.dedup.upstream else 0
    room = (descriptors - reserved) // each
    return Allotment(
        descriptors,
        min(config.server.max_connections, max(room, LEAST_CLIENTS)),
        s3_connections,
        reserved,
        enough=room >= LEAST_CLIENTS,
    )


def within_limit(config: Config, *, workers: int = 1) -> Config:
    """`config`, which is one worker's part of the settings where there are several, with as many
    connections as this process and those that it starts may have. Says what is lowered."""
    allotted = allot(config, descriptor_limit())
    fitting = allotted.of(config)
    if fitting == config and allotted.enough:
        return config
    least = "" if allotted.enough else "; it is too low for these settings, requests may fail"
    log.warning(
        f"fewer connections than configured: raise the limit of open files{least}",
        limit=allotted.descriptors,
        reserved=allotted.reserved,
        max_connections=allotted.connections * workers,
        configured=config.server.max_connections * workers,
        s3_connections=allotted.s3_connections * workers,
        s3_configured=config.s3.max_connections * workers,
    )
    return fitting
