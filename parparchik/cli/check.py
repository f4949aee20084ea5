"""`parparchik check`: can this configuration work, and what to grant where it cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
import trio

from parparchik.cli.examine import Examination, Purpose
from parparchik.cli.examine_dedup import DedupExamination
from parparchik.cli.failures import FAILED, OK, one_line
from parparchik.cli.findings import Finding
from parparchik.cli.grants import policies
from parparchik.cli.options import bucket_names, config_option, load_quietly, run
from parparchik.cli.table import table
from parparchik.config import Config
from parparchik.errors import ConfigError
from parparchik.peers import peer_problems
from parparchik.server import (
    S3,
    Certificate,
    build_s3,
    exposed_buckets,
    is_dedup_open,
    writable_buckets,
)

_RESULTS = {True: "ok", False: "FAILED", None: "note"}


@click.command()
@config_option
@click.option("--no-write", is_flag=True, help="Do not try to write, neither to S3 nor elsewhere.")
def check(config_file: Path | None, no_write: bool) -> int:
    """Try settings, credentials and every bucket, and tell what to grant.

    The manifests are only read. To see whether they, or a bucket of the object gateway, could be
    written, a small object is stored beside each, <manifest-key>.check, and left there. For the
    dedup store one is stored below its prefix, read, and deleted. Exits with 1 when any check
    fails.
    """
    loaded, environ = load_quietly(config_file)
    config = loaded.config
    findings = [
        *_certificate(config),
        *_cache_directory(config),
        *run(_examine, config, environ, not no_write),
        *run(_peers, config),
    ]
    rows = [("BUCKET", "CHECK", "RESULT", "DETAIL")]
    rows += [("", "settings", "ok", one) for one in _served(config)]
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


def _served(config: Config) -> list[str]:
    told = [f"buckets in priority order: {bucket_names(config)}"] if config.buckets else []
    told += [f"site {one.host}{one.mount}: {one.bucket}/{one.prefix}" for one in config.sites]
    if config.objects is not None:
        allowed = ", ".join(f"{name} ({may})" for name, may in config.objects.allowed_buckets)
        told.append(f"object gateway {config.objects.mount}: {allowed}")
    if config.dedup is not None:
        where = f"{config.dedup.bucket}/{config.dedup.prefix}"
        told.append(f"dedup store {config.dedup.mount}: {where}")
    return told


def _exposure(config: Config) -> list[str]:
    where = f"{config.server.host}:{config.server.port}"
    told = [
        f"no API key is set: everybody who reaches {where} can {do} {', '.join(buckets)}"
        for do, buckets in (
            ("read", exposed_buckets(config)),
            ("write to", writable_buckets(config)),
        )
        if buckets
    ]
    if config.dedup is not None and is_dedup_open(config):
        at = config.dedup.mount
        told.append(f"everybody who reaches {where} can store and delete files at {at} (dedup)")
    return told


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


def _cache_directory(config: Config) -> list[tuple[str, list[Finding]]]:
    """Findings of no bucket. The server makes the directory where it is missing."""
    directory = config.cache.directory
    if directory is None:
        return []
    there = next((one for one in (directory, *directory.parents) if one.exists()), directory)
    usable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    detail = str(directory) if usable else f"{there}: not a directory that can be written"
    return [("", [Finding("cache directory", passed=usable, detail=detail)])]


async def _peers(config: Config) -> list[tuple[str, list[Finding]]]:
    """Findings of no bucket. Nothing of a peer fails the check: one may be this host, before it
    serves, and none keeps it from serving."""
    found = [
        Finding("cache peer", True if problem is None else None, f"{url}: {problem or 'answers'}")
        for url, problem in await peer_problems(config.cache)
    ]
    return [("", found)]


def _purpose(config: Config, bucket: str, routes: bool) -> Purpose:
    allowed = dict(config.objects.allowed_buckets) if config.objects is not None else {}
    pages = [
        f"{site.prefix}{page}"
        for site in config.sites
        if site.bucket == bucket
        for page in (site.index, site.error, site.spa)
        if page
    ]
    uploads = allowed.get(bucket, "read") != "read"
    return Purpose(routes, uploads, tuple(dict.fromkeys(pages)))


async def _examine(
    config: Config, environ: Mapping[str, str], may_write: bool
) -> list[tuple[str, list[Finding]]]:
    """The findings of each bucket, in their order; the buckets are tried in parallel."""
    s3 = build_s3(config, environ)
    examinations = []
    for one in config.every_bucket:
        credentials = s3.credentials.for_endpoint(one.endpoint)
        examinations.append(
            Examination(
                s3.client.bucket(one, credentials.current),
                credentials=credentials,
                may_write=may_write,
                denied_is_missing=config.s3.denied_is_missing,
                purpose=_purpose(config, one.bucket.name, routes=one.mode != "off"),
            )
        )
    store = _dedup_examination(config, s3, may_write)
    try:
        async with trio.open_nursery() as nursery:
            for examination in examinations:
                nursery.start_soon(examination.run)
        # When credentials have been asked for.
        if store is not None:
            await store.run()
    finally:
        s3.client.close()
    found = [
        (one.bucket.name, examination.findings)
        for one, examination in zip(config.every_bucket, examinations, strict=True)
    ]
    if config.dedup is not None and store is not None:
        found.append((config.dedup.bucket, store.findings))
    return found


def _dedup_examination(config: Config, s3: S3, may_write: bool) -> DedupExamination | None:
    if config.dedup is None or s3.dedup_lister is None:
        return None
    bucket = s3.objects[config.dedup.bucket]
    return DedupExamination(config.dedup, bucket, s3.dedup_lister, may_write=may_write)
