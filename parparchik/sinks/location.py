"""Where on earth an address is, by a MaxMind database (GeoLite2 or GeoIP2 City)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import maxminddb
import structlog
import trio

from parparchik.sinks.measurement import NOWHERE, Location

LOOK_EVERY_S = 60.0
KEPT = 16_384

log = structlog.get_logger(__name__)

Locate = Callable[[str], Location]


class LocationDatabase:
    """Addresses looked up in the file at `path`; it is read again when another is there. While it
    cannot be read, the last one is used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, ...] | None = None
        self._locate: Locate = _nowhere

    def locate(self, address: str) -> Location:
        """Safe in any thread."""
        return self._locate(address)

    async def run(self) -> None:
        """Keep up with the file until cancelled."""
        while True:
            await trio.to_thread.run_sync(self.refresh)
            await trio.sleep(LOOK_EVERY_S)

    def refresh(self) -> None:
        """Read the file if it is another than before; it blocks."""
        try:
            status = self._path.stat()
            version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if version == self._read:
                return
            reader = self._open()
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            if self._read != ():
                log.warning("no location database", path=str(self._path), reason=str(error))
                self._read = ()
            return
        # Nobody closes the one before: a thread may be reading it, and its last reference ends it.
        self._locate = lru_cache(maxsize=KEPT)(lambda address: _location(reader, address))
        self._read = version
        log.info("location database read", path=str(self._path))

    def _open(self) -> Any:
        """A private copy, mapped and without a name: if the file were overwritten in place while
        it is mapped, the next look-up would end the process (SIGBUS)."""
        descriptor, copy = tempfile.mkstemp(suffix=".mmdb")
        os.close(descriptor)
        try:
            shutil.copyfile(self._path, copy)
            return maxminddb.open_database(copy)
        finally:
            Path(copy).unlink()


def _nowhere(address: str) -> Location:
    return NOWHERE


def _location(reader: Any, address: str) -> Location:
    """Names in English, as s3-proxy has them."""
    try:
        found = reader.get(address)
    except ValueError:  # no address, or an IPv6 one in an IPv4 database
        return NOWHERE
    if not isinstance(found, dict):
        return NOWHERE
    country = _part(found, "country")
    place = _part(found, "location")
    subdivisions = found.get("subdivisions") or [{}]
    return Location(
        city=_name(_part(found, "city")),
        continent=_name(_part(found, "continent")),
        country=_name(country),
        country_iso_code=str(country.get("iso_code", "")),
        subdivision=_name(subdivisions[0]),
        latitude=_degrees(place.get("latitude")),
        longitude=_degrees(place.get("longitude")),
    )


def _part(found: dict[str, Any], name: str) -> dict[str, Any]:
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def _name(part: dict[str, Any]) -> str:
    return str(_part(part, "names").get("en", ""))


def _degrees(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
