"""Manifests from nothing but what the buckets hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parparchik.cli.manifests import ReadManifest, read_manifests
from parparchik.config import RoutesConfig
from parparchik.model import ObjectStore
from parparchik.registry import BadManifest, ManifestFile, Registry, Service


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of one bucket's manifest, in words, and how many entries the bucket has."""

    bucket: str
    outcome: str
    count: int


async def rebuild_manifests(
    stores: Sequence[ObjectStore], config: RoutesConfig, *, dry_run: bool
) -> tuple[Rebuilt, ...]:
    """List every bucket and write the manifests that say something else.

    The manifests are read before the listing: what another process writes from then on is merged
    into ours, not overwritten. Raises UpstreamError with nothing written, and PersistFailed.
    """
    service = Service(stores, config)
    files = service.writer.files
    before = await read_manifests(stores) if dry_run else [await _begin(file) for file in files]
    await service.sync()
    due = [not _says(was, file, service.registry) for was, file in zip(before, files, strict=True)]
    for file, is_due in zip(files, due, strict=True):
        if is_due and not dry_run:
            file.adopt(None)
    await service.writer.flush()
    return tuple(
        Rebuilt(
            was.bucket.name,
            _outcome(was, file, is_due=is_due, dry_run=dry_run),
            service.registry.count_in(file.index),
        )
        for was, file, is_due in zip(before, files, due, strict=True)
    )


async def _begin(file: ManifestFile) -> ReadManifest:
    """Read what will be replaced, and have a copy kept if it cannot be understood."""
    bucket = file.store.bucket
    try:
        pieces = await file.read()
    except BadManifest as error:
        return ReadManifest(bucket, None, str(error))
    return ReadManifest(bucket, None if pieces is None else tuple(r for p in pieces for r in p))


def _says(was: ReadManifest, file: ManifestFile, registry: Registry) -> bool:
    """Whether the manifest already says what the registry holds of its bucket."""
    if was.rows is None:
        return False
    alone = Registry(registry.buckets)
    alone.load(file.index, was.rows)
    return alone.digest(file.index) == registry.digest(file.index)


def _outcome(was: ReadManifest, file: ManifestFile, *, is_due: bool, dry_run: bool) -> str:
    if not is_due:
        return "already so"
    if was.problem:
        had = f"the manifest was unreadable ({was.problem})"
    else:
        had = "there was none" if was.rows is None else f"there were {len(was.rows)} entries"
    if dry_run:
        return f"to write, {had}"
    # Nothing found in a bucket is no reason to replace what we do not understand.
    return f"written, {had}" if file.outcomes["written"] else f"left alone, {had}"
