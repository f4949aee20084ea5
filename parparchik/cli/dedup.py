"""`parparchik dedup`: work on the store that keeps equal contents once, be a server at work on it
or not."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import click
import trio

from parparchik.cli.dedup_lines import (
    Said,
    cleaned,
    exported,
    figures,
    migrated,
    put_back,
    totals_shown,
    verified,
)
from parparchik.cli.failures import MISCONFIGURED, CommandError
from parparchik.cli.options import config_option, load_quietly, run
from parparchik.cli.progress_bar import progress_bar
from parparchik.cli.table import table
from parparchik.cli.whole_file import whole_file
from parparchik.config import LogConfig
from parparchik.dedup import (
    Exported,
    FiletrackerDirectory,
    FiletrackerServer,
    Importer,
    Migration,
    Progress,
    Verifier,
    export,
)
from parparchik.server import DedupParts, open_dedup

_SHOW_EVERY_S = 0.1
_LONGEST_LINE_BYTES = 1 << 20

_Result = TypeVar("_Result")
_Work = Callable[[DedupParts], Awaitable[_Result]]

_FILE = click.Path(path_type=Path, allow_dash=True)
_parallel = click.option(
    "--parallel", type=click.IntRange(1, 256), default=16, show_default=True, help="At a time."
)


@click.group()
def dedup() -> None:
    """Look after the dedup store: clean it, verify it, back it up, fill it."""


@dedup.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--sweep/--no-sweep", default=True, help="Compare all that S3 has, too; without, be quick."
)
@click.option(
    "--grace", type=click.FloatRange(0), help="Seconds, instead of PARPARCHIK_DEDUP_GRACE."
)
@config_option
def clean(*, dry_run: bool, sweep: bool, grace: float | None, config_file: Path | None) -> int:
    """Delete contents that no file has any more, when their grace has passed.

    Exits with 1 when contents are missing at S3, or something could not be deleted.
    """

    async def work(parts: DedupParts) -> Said:
        report = await parts.cleaner.clean(
            dry_run=dry_run, sweep=sweep, progress=_progress("clean")
        )
        return cleaned(report, dry_run=dry_run)

    return _say(_at_work(config_file, work, grace_s=grace))


@dedup.command()
@click.option(
    "--sample", type=click.FloatRange(0, 100, min_open=True), help="Percent; default: all."
)
@click.option(
    "--mend", is_flag=True, help="Set right what the files show to be wrong in the database."
)
@_parallel
@config_option
def verify(*, sample: float | None, mend: bool, parallel: int, config_file: Path | None) -> int:
    """See whether the database contradicts itself, read contents again, and see whether they are
    what they were.

    Contents that are not are marked as lost: they are stored anew when they are uploaded again.
    Exits with 1 when anything is wrong, and was not mended.
    """

    async def work(parts: DedupParts) -> Said:
        verifier = Verifier(parts.metadata, parts.bucket, parallel=parallel)
        share = 1.0 if sample is None else sample / 100
        report = await verifier.verify(share=share, mend=mend, progress=_progress("verify"))
        return verified(report)

    return _say(_at_work(config_file, work))


@dedup.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@config_option
def stats(*, as_json: bool, config_file: Path | None) -> None:
    """Print how much there is."""

    async def work(parts: DedupParts) -> str:
        totals = await parts.metadata.totals()
        if as_json:
            return json.dumps(figures(totals))
        return table([("FIGURE", "VALUE"), *totals_shown(totals)])

    click.echo(_at_work(config_file, work))


@dedup.command("export")
@click.argument("file", type=_FILE, default="-")
@config_option
def export_files(*, file: Path, config_file: Path | None) -> None:
    """Write which path has which content to FILE, as JSON lines, and what was deleted: the backup
    of the database.

    A FILE that is there is replaced when all is written, and stays as it is when that fails.
    """

    async def work(parts: DedupParts) -> Exported:
        with whole_file(file) as out:

            async def write(data: bytes) -> None:
                await trio.to_thread.run_sync(out.write, data)

            return await export(parts.metadata, write, progress=_progress("export"))

    click.echo(exported(_at_work(config_file, work)), err=True)


@dedup.command("import")
@click.argument("file", type=_FILE, default="-")
@_parallel
@config_option
def import_files(*, file: Path, parallel: int, config_file: Path | None) -> int:
    """Put back what `export` wrote. Newer versions stay; exits with 1 when a content is missing.

    Where an upstream is fetched from, import before the server is started: until its tombstones
    are there, it may fetch what was deleted.
    """

    async def work(parts: DedupParts) -> Said:
        importer = Importer(parts.metadata, parts.bucket, parallel=parallel)
        with ExitStack() as stack:
            is_piped = str(file) == "-"
            source = sys.stdin.buffer if is_piped else stack.enter_context(file.open("rb"))
            lines = _lines(source)
            return put_back(await importer.run(lines, progress=_progress("import")))

    return _say(_at_work(config_file, work))


@dedup.command()
@click.option(
    "--from", "source", required=True, help="URL of a filetracker server, or its directory."
)
@_parallel
@config_option
def migrate(*, source: str, parallel: int, config_file: Path | None) -> int:
    """Copy all files of a filetracker server.

    What is here in the same version or a newer one is passed over: a run that was interrupted can
    be started again. Exits with 1 when a file could not be had; one that was deleted meanwhile is
    no failure.
    """

    async def work(parts: DedupParts) -> Said:
        async with _source(source) as files:
            migration = Migration(
                *(parts.store, parts.metadata, files),
                parallel=parallel,
                progress=_progress("migrate"),
            )
            return migrated(await migration.run())

    return _say(_at_work(config_file, work))


def _source(given: str) -> FiletrackerServer | FiletrackerDirectory:
    """Raises CommandError for what can be neither."""
    if given.startswith(("http://", "https://")):
        return FiletrackerServer(given.rstrip("/"))
    if not (Path(given) / "links").is_dir():
        raise CommandError(
            "--from: expected http(s)://host:port, or a filetracker server's directory (it has"
            " links and blobs in it)",
            MISCONFIGURED,
        )
    return FiletrackerDirectory(Path(given))


def _at_work(
    config_file: Path | None, work: _Work[_Result], *, grace_s: float | None = None
) -> _Result:
    loaded, environ = load_quietly(config_file)
    config = loaded.config
    if grace_s is not None and config.dedup is not None:
        config = replace(config, dedup=replace(config.dedup, grace_s=grace_s))

    async def main() -> _Result:
        results: list[_Result] = []
        async with open_dedup(config, environ) as parts:
            results.append(await work(parts))
        return results[0]

    return run(main)


def _say(said: Said) -> int:
    lines, code = said
    for line in lines:
        click.echo(line)
    return code


def _progress(name: str) -> Progress:
    """The bar, where somebody looks at it, not more often than eyes can follow."""
    bar = progress_bar(LogConfig())
    shown_at_s = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown_at_s
        now_s = trio.current_time()
        if bar is not None and now_s - shown_at_s >= _SHOW_EVERY_S:
            shown_at_s = now_s
            bar(name, done, total)

    return show


async def _lines(file: BinaryIO) -> AsyncIterator[bytes]:
    while line := await trio.to_thread.run_sync(file.readline, _LONGEST_LINE_BYTES):
        yield line
