"""The accepted configuration, handed from the parent to its workers.

A worker that is started later must run what the parent runs, not what a file says by then; and what
secrets it holds must be seen in no list of processes. So it travels over the channel.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from parparchik.config.model import Config


def encode(config: Config) -> bytes:
    return msgspec.msgpack.encode(config, enc_hook=_encode_path)


def decode(data: bytes) -> Config:
    """Raises msgspec.ValidationError."""
    return msgspec.msgpack.decode(data, type=Config, dec_hook=_decode_path)


def share_of(config: Config, workers: int) -> Config:
    """One worker's share: what the settings allow the server to have open is divided."""
    routes, s3, server = config.routes, config.s3, config.server
    return replace(
        config,
        routes=replace(routes, max_probes=-(-routes.max_probes // workers)),
        s3=replace(s3, max_connections=-(-s3.max_connections // workers)),
        server=replace(server, max_connections=-(-server.max_connections // workers)),
    )


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a setting of type {type(value).__name__}")


def _decode_path(kind: type, value: Any) -> Path:
    if kind is Path:
        return Path(value)
    raise TypeError(f"a setting of type {kind.__name__}")
