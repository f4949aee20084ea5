"""What commands have in common: the environment, the settings, where logs go, Trio."""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import trio

from parparchik.config import Config, Loaded, LogConfig, load
from parparchik.server import configure_logging, configured_secrets

_Result = TypeVar("_Result")

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "-c",
    "config_file",
    type=click.Path(path_type=Path),
    help="TOML file with the settings (or PARPARCHIK_CONFIG).",
)


def environment(**options: object) -> dict[str, str]:
    """The process's environment, with options of the command line in place of the variables that
    they are named after; an option that was not given (None) changes nothing."""
    given = {name: str(value) for name, value in options.items() if value is not None}
    return {**os.environ, **given}


YOUNG_OBJECTS = 5_000
"""So many come into being before the collector looks for garbage among them. Python's own 700 are
those of a few requests, all of them still under way: to look at them took a twentieth of a PUT."""


def load_quietly(config_file: Path | None) -> tuple[Loaded, dict[str, str]]:
    """Settings and environment for a command that works once and prints: only errors are logged,
    to standard error."""
    environ = environment()
    loaded = load(environ, config_file)
    configure_logging(
        LogConfig(format="console", level="error"), secrets=configured_secrets(loaded.config)
    )
    return loaded, environ


def bucket_names(config: Config) -> str:
    return ", ".join(one.bucket.name for one in config.buckets)


def run(function: Callable[..., Awaitable[_Result]], *args: object) -> _Result:
    """`trio.run`, whose arguments mypy cannot follow."""
    return trio.run(function, *args)


def run_for_long(function: Callable[..., Awaitable[_Result]], *args: object) -> _Result:
    """`run` of a server. What it consists of is no garbage as long as it lives, and the collector
    does not look at it: that would halt all requests for some 50 ms each time."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    return run(function, *args)
