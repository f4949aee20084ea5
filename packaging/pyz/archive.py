"""Makes the archive with shiv: site-packages, shiv's bootstrap, and our launcher before it."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Final

from shiv import __version__ as shiv_version
from shiv.bootstrap.environment import Environment
from shiv.builder import create_archive
from shiv.constants import BUILD_AT_TIMESTAMP_FORMAT

_EARLIEST_S: Final = 315_532_800  # zip's first possible time, 1980-01-01


def make_archive(
    site_packages: Path, launcher: Path, entry_point: str, time_s: int, target: Path
) -> None:
    """Writes `target`. Its bytes follow from the files below `site_packages` and `launcher`,
    `entry_point`, `time_s` (which every member carries) and the versions of shiv and zlib. The
    build id, which names the directory where it unpacks, is a digest of the names and bytes below
    `site_packages`."""
    moment = time.gmtime(max(time_s, _EARLIEST_S))
    environment = Environment(
        built_at=time.strftime(BUILD_AT_TIMESTAMP_FORMAT, moment),
        shiv_version=shiv_version,
        entry_point=entry_point,
        reproducible=True,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    create_archive(
        sources=[site_packages],
        target=partial,
        interpreter="/usr/bin/env python3",
        main="_launcher:main",
        env=environment,
    )
    with zipfile.ZipFile(partial, "a", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted(launcher.glob("*.py")):
            member = zipfile.ZipInfo(source.name, moment[:6])
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, source.read_bytes())
    partial.chmod(0o755)
    partial.replace(target)
