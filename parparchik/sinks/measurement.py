"""One request in figures, as every sink is sent it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Location:
    """Where on earth an address is; '' and None where the database does not say."""

    city: str = ""
    continent: str = ""
    country: str = ""
    country_iso_code: str = ""
    subdivision: str = ""
    latitude: float | None = None
    longitude: float | None = None


NOWHERE = Location()


@dataclass(frozen=True, slots=True)
class Measurement:
    """`time_ns` is how long the answer took, `timestamp_ns` when it was given (since 1970)."""

    timestamp_ns: int
    method: str
    resource: str
    media_type: str
    address: str
    size_bytes: int
    time_ns: int
    status: int
    compressed: bool
    location: Location = NOWHERE

    def labels(self) -> Iterator[tuple[str, str]]:
        """What tells requests apart, by the names that s3-proxy gave it; nothing that is empty."""
        named = (
            ("method", self.method),
            ("resource", self.resource),
            ("mimeType", self.media_type),
            ("ipaddress", self.address),
            ("city", self.location.city),
            ("continent", self.location.continent),
            ("country", self.location.country),
            ("country_iso_code", self.location.country_iso_code),
            ("subdivision", self.location.subdivision),
        )
        return ((name, value) for name, value in named if value)

    def figures(self) -> Iterator[tuple[str, Value]]:
        """What is measured of them."""
        yield "size", self.size_bytes
        yield "time", self.time_ns
        yield "status", self.status
        yield "compressed", self.compressed
        if self.location.latitude is not None and self.location.longitude is not None:
            yield "latitude", self.location.latitude
            yield "longitude", self.location.longitude
