"""`parparchik cache`: the cache of a running server, through its management API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click
import trio

from parparchik.cli.failures import FAILED, OK, CommandError
from parparchik.cli.key_list import count_keys, read_keys
from parparchik.cli.management import open_management
from parparchik.cli.manifests import read_manifests
from parparchik.cli.options import config_option, load_quietly, run
from parparchik.cli.progress_bar import progress_bar
from parparchik.cli.table import printable, table
from parparchik.cli.warming import Key, Tally, Warmer
from parparchik.config import Config, LogConfig
from parparchik.server import open_stores

_SHOWN_FAILURES = 20
_WARM_TIMEOUT_S = 600.0  # for a batch: objects are large
_SHOW_EVERY_S = 0.1

_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


def _server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which server, and what to show it."""
    for option in (
        config_option,
        click.option(
            "--ca", "ca_file", type=_EXISTING, help="PEM file of the authorities to trust."
        ),
        click.option(
            "--api-key",
            envvar="PARPARCHIK_API_KEYS",
            help="Default: the first of PARPARCHIK_API_KEYS.",
        ),
        click.option("--url", help="The server; default: the one that the settings describe."),
    ):
        command = option(command)
    return command


@click.group()
def cache() -> None:
    """Look at the cache of a running server, empty it, or fill it."""


@cache.command()
@click.argument("bucket", required=False)
@click.argument("key", required=False)
@click.option("--prefix", help="All keys of the bucket that begin so; '' for all of them.")
@click.option("--all", "everything", is_flag=True, help="Everything, whatever the bucket.")
@_server_options
def purge(
    *,
    bucket: str | None,
    key: str | None,
    prefix: str | None,
    everything: bool,
    url: str | None,
    api_key: str | None,
    ca_file: Path | None,
    config_file: Path | None,
) -> None:
    """Forget an object (BUCKET KEY), some (BUCKET --prefix), or all (--all).

    Who asks for it next gets what S3 has then.
    """
    if (everything, bucket is not None) not in ((True, False), (False, True)) or (
        bucket is not None and (key is None) is (prefix is None)
    ):
        raise click.UsageError("give BUCKET KEY, BUCKET --prefix PREFIX, or --all")
    wanted: dict[str, object] = {"all": True}
    if bucket is not None:
        wanted = {"bucket": bucket} | ({"prefix": prefix} if key is None else {"key": key})
    answer = open_management(url, api_key, ca_file, config_file).post("/cache/purge", wanted)
    purged = answer.get("purged") if isinstance(answer, dict) else None
    if not isinstance(purged, int):
        raise CommandError("the server did not say what it purged: is it parparchik?")
    click.echo(f"purged {purged}")


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="As the server says it.")
@_server_options
def stats(
    *,
    as_json: bool,
    url: str | None,
    api_key: str | None,
    ca_file: Path | None,
    config_file: Path | None,
) -> None:
    """Print the cache's figures."""
    answer = open_management(url, api_key, ca_file, config_file).get("/cache/stats")
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(table([("FIGURE", "VALUE"), *_figures("", answer)]))


def _figures(name: str, value: object) -> Iterator[tuple[str, str]]:
    """A document's leaves, each under the names that lead to it."""
    children: Iterator[tuple[object, object]]
    if isinstance(value, dict) and value:
        children = iter(value.items())
    elif isinstance(value, list) and value:
        children = iter(enumerate(value))
    else:
        written = value if isinstance(value, str) else json.dumps(value)
        yield printable(name), printable(written)
        return
    for key, child in children:
        yield from _figures(f"{name}.{key}" if name else str(key), child)


@cache.command()
@click.argument("bucket", required=False)
@click.argument("keys_file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--manifest", is_flag=True, help="The keys of the bucket's manifest; of all buckets.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Keys a second at most.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Requests at a time, of up to 50 keys.",
)
@click.option("--failed", "failed_file", type=_FILE, help="Write the keys that failed to this.")
@_server_options
def warm(
    *,
    bucket: str | None,
    keys_file: Path | None,
    manifest: bool,
    rate: float | None,
    parallel: int,
    failed_file: Path | None,
    url: str | None,
    api_key: str | None,
    ca_file: Path | None,
    config_file: Path | None,
) -> int:
    """Have objects fetched before anybody asks: those of a manifest, or the keys in KEYS_FILE.

    The file has one key a line; - is standard input. Objects that are fresh in the cache are not
    fetched, so that a run that was interrupted can be started again. Exits with 1 when any fails.
    """
    if manifest is (keys_file is not None) or not (manifest or bucket):
        raise click.UsageError("give BUCKET KEYS_FILE (- for standard input), or --manifest")
    api = open_management(url, api_key, ca_file, config_file)
    with ExitStack() as stack:
        keys: Iterator[Key]
        if keys_file is None:
            found = _manifest_keys(bucket, config_file)
            keys, total = iter(found), len(found)
        else:
            total = count_keys(keys_file)
            keys = ((bucket or "", key) for key in read_keys(keys_file, stack))
        failures = _Failures(stack.enter_context(failed_file.open("w")) if failed_file else None)
        tally = Tally()
        show = _Progress(tally, total)
        warmer = Warmer(
            replace(api, timeout_s=_WARM_TIMEOUT_S),
            tally,
            failures.add,
            show,
            parallel,
            rate,
        )
        try:
            run(warmer.run, keys)
        finally:
            show.clear()
            failures.say_how_many_more()
            click.echo(str(tally))
    return FAILED if tally.failed else OK


def _manifest_keys(bucket: str | None, config_file: Path | None) -> list[Key]:
    loaded, environ = load_quietly(config_file)
    names = [one.bucket.name for one in loaded.config.buckets]
    if bucket is not None and bucket not in names:
        raise click.UsageError(f"no bucket {bucket} has routes: {', '.join(names) or 'none has'}")
    return run(_read_manifests, loaded.config, environ, bucket)


async def _read_manifests(
    config: Config, environ: Mapping[str, str], bucket: str | None
) -> list[Key]:
    async with open_stores(config, environ) as stores:
        chosen = [one for one in stores if bucket in (None, one.bucket.name)]
        manifests = await read_manifests(chosen)
    for one in manifests:
        if one.problem:
            raise CommandError(f"{one.bucket.name}: {one.bucket.manifest_key}: {one.problem}")
    return [(one.bucket.name, key) for one in manifests for key, _ in one.rows or ()]


class _Failures:
    """Shows the first, counts the rest, and writes all to a file where one is wanted."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._count = 0

    def add(self, bucket: str, key: str, reason: str) -> None:
        self._count += 1
        if self._file is not None:
            self._file.write(f"{key}\n")
        if self._count <= _SHOWN_FAILURES:
            click.echo(printable(f"{bucket}/{key}: {reason}"), err=True)

    def say_how_many_more(self) -> None:
        if self._count > _SHOWN_FAILURES:
            click.echo(f"... and {self._count - _SHOWN_FAILURES} more", err=True)


class _Progress:
    """The bar, where somebody looks at it, not more often than eyes can follow."""

    def __init__(self, tally: Tally, total: int) -> None:
        self._tally, self._total = tally, total
        self._bar = progress_bar(LogConfig())
        self._next = 0.0

    def __call__(self) -> None:
        now = trio.current_time()
        if self._bar is not None and now >= self._next:
            self._next = now + _SHOW_EVERY_S
            self._bar("warm", self._tally.done, self._total)

    def clear(self) -> None:
        if self._bar is not None:
            self._bar("ready", 0, 0)
