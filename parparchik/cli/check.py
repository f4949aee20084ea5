"""`parparchik check`: can this configuration work, and what to grant where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import trio

from parparchik.cli.examine import Examination, Finding
from parparchik.cli.failures import FAILED, OK, one_line
from parparchik.cli.grants import policies
from parparchik.cli.options import bucket_names, config_option, load_quietly, run
from parparchik.cli.table import table
from parparchik.config import Config
from parparchik.errors import ConfigError
from parparchik.server import Certificate, build_s3, exposed_buckets

_RESULTS = {True: "ok", False: "FAILED", None: "note"}


@click.command()
@config_option
@click.option("--no-write", is_flag=True, help="Do not try to write beside the manifests.")
def check(config_file: Path | None, no_write: bool) -> int:
    """Try settings, credentials and every bucket, and tell what to grant.

    The manifests are only read. To see whether they could be written, a small object is stored
    beside each, <manifest-key>.check, and left there. Exits with 1 when any check fails.
    """
    loaded, environ = load_quietly(config_file)
    config = loaded.config
    findings = [*_certificate(config), *run(_examine, config, environ, not no_write)]
    rows = [("BUCKET", "CHECK", "RESULT", "DETAIL")]
    rows.append(("", "settings", "ok", f"buckets in priority order: {bucket_names(config)}"))
    notes = [*loaded.warnings, *_exposure(config)]
    rows += [("", "settings", "note", one_line(note)) for note in notes]
    rows += [
        (name, finding.step, _RESULTS[finding.passed], one_line(finding.detail))
        for name, ones in findings
        for finding in ones
    ]
    click.echo(table(rows))
    every = [finding for _, ones in findings for finding in ones]
    missing = {one.grant for one in every if one.passed is False and one.grant is not None}
    for grantee, document in policies(missing):
        click.echo(f"\nTo grant to {grantee}:\n{document}")
    return FAILED if any(one.passed is False for one in every) else OK


def _exposure(config: Config) -> list[str]:
    exposed = exposed_buckets(config)
    if not exposed:
        return []
    where = f"{config.server.host}:{config.server.port}"
    return [f"no API key is set: everybody who reaches {where} can read {', '.join(exposed)}"]


def _certificate(config: Config) -> list[tuple[str, list[Finding]]]:
    """Findings of no bucket."""
    if config.server.tls_certificate is None:
        return []
    try:
        Certificate(config.server)
    except ConfigError as error:
        finding = Finding("certificate", passed=False, detail=str(error))
    else:
        finding = Finding("certificate", passed=True, detail=str(config.server.tls_certificate))
    return [("", [finding])]


async def _examine(
    config: Config, environ: Mapping[str, str], may_write: bool
) -> list[tuple[str, list[Finding]]]:
    """The findings of each bucket, in their order; the buckets are tried in parallel."""
    s3 = build_s3(config, environ)
    examinations = [
        Examination(
            store,
            credentials=s3.credentials.for_endpoint(one.endpoint),
            may_write=may_write,
            denied_is_missing=config.s3.denied_is_missing,
        )
        for one, store in zip(config.buckets, s3.stores, strict=True)
    ]
    try:
        async with trio.open_nursery() as nursery:
            for examination in examinations:
                nursery.start_soon(examination.run)
    finally:
        s3.client.close()
    return [
        (one.bucket.name, examination.findings)
        for one, examination in zip(config.buckets, examinations, strict=True)
    ]
