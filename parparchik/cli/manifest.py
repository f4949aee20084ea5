"""`parparchik manifest`: what the buckets' manifests say, and how to write them anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from parparchik.cli.failures import FAILED, OK, CommandError, one_line
from parparchik.cli.manifests import ReadManifest, read_manifests
from parparchik.cli.options import config_option, load_quietly, run
from parparchik.cli.rebuild import Rebuilt, rebuild_manifests
from parparchik.cli.table import printable
from parparchik.config import Config
from parparchik.model import Entry
from parparchik.registry import PersistFailed, Registry
from parparchik.rfc import format_iso8601
from parparchik.server import open_stores


@click.group()
def manifest() -> None:
    """Look at the manifests, or write them anew."""


@manifest.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@config_option
def show(as_json: bool, config_file: Path | None) -> int:
    """Print the entries of every manifest. Exits with 1 when one cannot be read."""
    loaded, environ = load_quietly(config_file)
    manifests = run(_read, loaded.config, environ)
    registry = Registry([one.bucket for one in manifests])
    failed = False
    for one in manifests:
        name, key = one.bucket.name, printable(one.bucket.manifest_key)
        entries = [registry.entry(*row) for row in sorted(one.rows or ())]
        if one.problem:
            failed = True
            click.echo(f"{name}: {key}: {one_line(one.problem)}", err=True)
        elif one.rows is None:
            click.echo(f"{name}: no {key} yet", err=True)
        elif not as_json:
            click.echo(f"{name}: {key}, {len(entries)} entries")
        for entry in entries:
            click.echo(_json(entry) if as_json else _line(entry))
    return FAILED if failed else OK


def _json(entry: Entry) -> str:
    fields = {
        "key": entry.key,
        "bucket": entry.bucket.name,
        "bucket_type": entry.bucket.type,
        "route": entry.route,
        "size": entry.size_bytes,
        "last_modified": format_iso8601(entry.last_modified_s),
    }
    return json.dumps(fields, ensure_ascii=False)


def _line(entry: Entry) -> str:
    modified = format_iso8601(entry.last_modified_s) if entry.last_modified_s else "-"
    return f"{entry.size_bytes:>14}  {modified:<20}  {printable(entry.key)}"


async def _read(config: Config, environ: Mapping[str, str]) -> tuple[ReadManifest, ...]:
    async with open_stores(config, environ) as stores:
        return await read_manifests(stores)


@manifest.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be written.")
@config_option
def rebuild(dry_run: bool, config_file: Path | None) -> None:
    """List every bucket and write the manifests that follow from it.

    A file in several buckets is an entry of the first of them. A manifest that says so already is
    left alone; one that cannot be read is kept aside first. Safe while servers run: they merge.
    """
    loaded, environ = load_quietly(config_file)
    for one in run(_rebuild, loaded.config, environ, dry_run):
        click.echo(f"{one.bucket}: {one_line(one.outcome)}; {one.count} entries")


async def _rebuild(
    config: Config, environ: Mapping[str, str], dry_run: bool
) -> tuple[Rebuilt, ...]:
    async with open_stores(config, environ) as stores:
        try:
            return await rebuild_manifests(stores, config.routes, dry_run=dry_run)
        except PersistFailed as error:
            raise CommandError(str(error)) from None
