"""The record of every answered request: one log line, and the counters."""

from __future__ import annotations

import structlog

from parparchik.metrics import Traffic
from parparchik.web.exchange import Exchange
from parparchik.web.redact import redact_url

CLIENT_GONE = 499
"""Counted for a client that left before an answer began, as nginx does."""


class AccessLog:
    """Counts into `traffic`, and writes a line per request if `enabled`."""

    def __init__(self, traffic: Traffic, *, enabled: bool) -> None:
        self._traffic = traffic
        self._enabled = enabled
        self._log = structlog.get_logger(__name__)

    def record(self, exchange: Exchange, seconds: float) -> None:
        """Record an exchange that has ended, `seconds` after it began."""
        status = exchange.status or CLIENT_GONE
        self._traffic.record(exchange.kind, status, seconds)
        if not self._enabled:
            return
        location = {"location": redact_url(exchange.location)} if exchange.location else {}
        self._log.info(
            "request",
            method=exchange.method,
            path=redact_url(exchange.target),
            status=status,
            duration_ms=round(seconds * 1000, 3),
            kind=exchange.kind,
            client=exchange.client,
            **location,
        )
