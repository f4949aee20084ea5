"""What the commands of `parparchik dedup` say in the end, and the exit code it amounts to."""

from __future__ import annotations

from collections.abc import Iterator

from parparchik.cli.failures import FAILED, OK
from parparchik.cli.table import printable
from parparchik.dedup import (
    CleanReport,
    Exported,
    Fault,
    ImportReport,
    Migrated,
    Totals,
    VerifyReport,
)

Said = tuple[list[str], int]


def cleaned(report: CleanReport, *, dry_run: bool) -> Said:
    if not report.led:
        return ["another process is cleaning: nothing was done"], OK
    lines = []
    if dry_run:
        lines.append(
            f"to delete: {report.garbage} objects known as garbage, {report.unknown} unknown ones;"
            f" contents without a file, in their grace or not: {report.orphans}"
        )
    else:
        lines.append(
            f"deleted {report.deleted} objects; {report.orphans} contents had no file any more,"
            f" {report.unknown} objects were unknown"
        )
    if report.foreign:
        lines.append(f"{report.foreign} objects below the prefix are not the store's: left alone")
    if report.doubtful:
        lines.append(
            "S3 has blobs and the database knows of none: they are left alone."
            " Is it the right database? (parparchik dedup import puts files back)"
        )
    if report.failed:
        lines.append(f"{report.failed} objects could not be deleted")
    if report.missing:
        lines.append(f"{report.missing} contents are missing at S3:")
        lines += [f"  {blob.digest} at {printable(blob.key)}" for blob in report.missing_blobs]
    bad = report.doubtful or report.failed or report.missing
    return lines, FAILED if bad else OK


def verified(report: VerifyReport) -> Said:
    lines = []
    if report.mended:
        lines.append(f"{report.mended} things were wrong in the database, and are mended")
    lines += [_fault(fault) for fault in report.faults]
    lines.append(
        f"{report.checked} contents read, {report.read_bytes} bytes:"
        f" {report.missing} missing, {report.damaged} damaged, {report.failed} not readable"
    )
    lines += [f"  {blob.digest} at {printable(blob.key)}" for blob in report.bad_blobs]
    if report.missing or report.damaged:
        lines.append(
            "what is missing or damaged is stored anew when the same content is uploaded again,"
            " to whatever path; its files stay listed until then"
        )
    if report.found:
        lines.append(f"{report.found} contents had been lost, and are sound again")
    bad = report.faults or report.missing or report.damaged or report.failed
    return lines, FAILED if bad else OK


def _fault(fault: Fault) -> str:
    advice = (
        "parparchik dedup verify --mend sets that right"
        if fault.mendable
        else "restore a backup (parparchik dedup import), or store the files again"
    )
    detail = f" ({printable(fault.detail)})" if fault.detail else ""
    return f"wrong in the database: {fault.what}: {fault.count}{detail}; {advice}"


def exported(done: Exported) -> str:
    return f"{done.files} files exported, {done.tombstones} tombstones"


def put_back(report: ImportReport) -> Said:
    lines = [
        f"{report.imported} files imported, {report.tombstones} tombstones,"
        f" {report.older} were there as new or newer,"
        f" {report.missing} without their content at S3, {report.bad} lines of no use"
    ]
    lines += [f"  line {number}: {printable(reason)}" for number, reason in report.reasons]
    if not report.is_whole:
        lines.append(
            "the export is not whole: lines are missing at its end, or were taken out; what is in"
            " it is imported"
        )
    return lines, FAILED if report.missing or report.bad or not report.is_whole else OK


def migrated(report: Migrated) -> Said:
    lines = [
        f"{report.copied} files copied ({report.copied_bytes} bytes), {report.present} were here,"
        f" {report.gone} gone, {report.failed} failed"
    ]
    lines += [f"  {printable(path)}: {printable(reason)}" for path, reason in report.reasons]
    return lines, FAILED if report.failed else OK


def totals_shown(totals: Totals) -> Iterator[tuple[str, str]]:
    for name, value in figures(totals).items():
        yield name.replace("_", " "), str(value)


def figures(totals: Totals) -> dict[str, float]:
    """As JSON has them."""
    stored = totals.stored_bytes
    return {
        "files": totals.files,
        "blobs": totals.blobs,
        "logical_bytes": totals.logical_bytes,
        "stored_bytes": stored,
        "ratio": round(totals.logical_bytes / stored, 3) if stored else 1.0,
        "orphans": totals.orphans,
        "garbage": totals.garbage,
        "lost": totals.lost,
    }
