"""`parparchik serve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import click

from parparchik.cli.options import config_option, environment, run_for_long
from parparchik.cli.progress_bar import progress_bar
from parparchik.cli.worker import worker_command
from parparchik.config import Loaded, load
from parparchik.server import serve as serve_requests


@click.command()
@config_option
@click.option("--host", help="Address to listen on (PARPARCHIK_HOST).")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port, 0 for any (PARPARCHIK_PORT).")
@click.option("--workers", help="Processes that answer, or auto (PARPARCHIK_WORKERS).")
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]))
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
def serve(
    config_file: Path | None,
    *,
    host: str | None,
    port: int | None,
    workers: str | None,
    log_format: str | None,
    log_level: str | None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Options win over the environment, and the environment over the file. SIGHUP reads the file,
    and those that it names, again.
    """
    environ = environment(
        PARPARCHIK_HOST=host,
        PARPARCHIK_PORT=port,
        PARPARCHIK_WORKERS=workers,
        PARPARCHIK_LOG_FORMAT=log_format,
        PARPARCHIK_LOG_LEVEL=log_level,
    )
    serve_as_read(partial(load, environ, config_file), environ)


def serve_as_read(read: Callable[[], Loaded], environ: Mapping[str, str], *notes: str) -> None:
    """Serve what `read` says, at the start and at each SIGHUP; `notes` are warnings to begin
    with."""
    loaded = read()
    run_for_long(
        partial(
            serve_requests,
            loaded.config,
            environ,
            warnings=(*notes, *loaded.warnings),
            reread=read,
            on_progress=progress_bar(loaded.config.log),
            worker_command=worker_command(),
        )
    )
