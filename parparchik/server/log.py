"""Logs: JSON lines for machines, or readable ones for people on a terminal.

Everything goes through one writer: structlog's events, and what libraries say through the
standard library's logging. Its last step looks at the finished line and blanks what must never
be written: signatures by their shape, configured secrets by their value.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO
from urllib.parse import quote, urlsplit

import structlog
from structlog.typing import Processor

from parparchik.access import ConsoleLines, JSONLines, Lines
from parparchik.config.model import Config, LogConfig
from parparchik.server.log_files import open_log

REDACTED = "[redacted]"

SHORTEST_SECRET = 8
"""A shorter one is not looked for: it would blank innocent words."""

BANNER_COLUMNS = 88

QUIET_LIBRARIES = ("httpx", "httpcore", "hpack", "h2")
"""At info and debug these write URLs and headers, which carry signatures."""

SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)

_HINTS = ("signature=", "credential=", "token=", "bearer ")

_SIGNATURES = re.compile(
    r"(\b(?:signature|credential|x-amz-security-token)=|\bbearer )[^&\s\"'\\,]+", re.IGNORECASE
)


def configure_logging(
    config: LogConfig, *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Set up this process's logging. `secrets` are values that may be written nowhere.

    `stream` is by default what the settings say; format "auto" asks it whether it is a terminal.
    Raises ConfigError for a directory that cannot be written to.
    """
    stream = open_log(config) if stream is None else stream
    for_people = _for_people(config, stream)
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [*_renderers(for_people, stream.isatty()), _Redactor(secrets)]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # module-level loggers must follow a later configuration
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def access_lines(
    config: LogConfig, *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> Lines | None:
    """Where the access log goes, None where nobody wants it; in the format of all other logs."""
    # Opened even where nobody wants it: new settings are refused before anything has changed.
    stream = open_log(config) if stream is None else stream
    if not config.access or logging.getLevelNamesMapping()[config.level.upper()] > logging.INFO:
        return None
    if _for_people(config, stream):
        return ConsoleLines()
    return JSONLines(stream, _Redactor(secrets).redact)


def configured_secrets(config: Config, environ: Mapping[str, str] | None = None) -> list[str]:
    """Every secret that the settings hold, and those of AWS's variables in `environ`."""
    secrets = list(config.auth.api_keys)
    secrets += [(environ or {}).get(name, "") for name in SECRET_VARIABLES]
    secrets += [site.auth_key for site in config.sites]
    secrets.append(config.cache.peer_key)
    for sink in config.sinks.sinks:
        secrets += [sink.token, urlsplit(sink.url).password or ""]
    if config.dedup is not None:
        urls = (config.dedup.metadata, config.dedup.upstream)
        secrets += [urlsplit(url).password or "" for url in urls]
    for bucket in config.every_bucket:
        if keys := bucket.endpoint.keys:
            secrets += [keys.secret_access_key, keys.session_token or ""]
    return secrets


def _for_people(config: LogConfig, stream: TextIO) -> bool:
    return config.format == "console" or (config.format == "auto" and stream.isatty())


def _renderers(for_people: bool, colors: bool) -> list[Processor]:
    if for_people:
        # Tracebacks stay plain: the pretty ones show local variables, and so credentials.
        plain = structlog.dev.plain_traceback
        return [
            _unfold_banner,
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain),
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _unfold_banner(
    logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A `banner`, which is a sequence of lines, becomes a block that nobody overlooks."""
    if lines := event.pop("banner", None):
        rule = "=" * BANNER_COLUMNS
        event["event"] = "\n".join((event["event"], rule, *lines, rule))
    return event


def _to_json(event: MutableMapping[str, Any], **_: object) -> str:
    """One line; what every event has comes first."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return json.dumps({**first, **event}, default=str, ensure_ascii=False)


class _Redactor:
    """The last processor: takes and returns the finished line."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {
            spelling
            for secret in secrets
            if len(secret) >= SHORTEST_SECRET
            for spelling in _spellings(secret)
        }
        # The longest first: one secret may begin with another.
        self._known = sorted(known, key=len, reverse=True)

    def __call__(self, logger: object, method: str, line: Any) -> Any:
        return self.redact(line)

    def redact(self, line: str) -> str:
        lowered = line.lower()
        if any(hint in lowered for hint in _HINTS):
            line = _SIGNATURES.sub(rf"\1{REDACTED}", line)
        for secret in self._known:
            line = line.replace(secret, REDACTED)
        return line


def _spellings(secret: str) -> tuple[str, ...]:
    """As it is, in JSON, in a `repr` and in a URL."""
    in_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    return secret, in_json, repr(secret)[1:-1], quote(secret, safe="")
