"""The websites, one for each [[site]] table, and what lies below which path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parparchik.config.document import Document
from parparchik.config.given import Given, of_table
from parparchik.config.model import BucketConfig, SiteConfig
from parparchik.config.table_settings import SITE_SETTINGS
from parparchik.errors import ConfigError

_SHORT_KEY = 16  # characters, as for API keys

# The management API's paths, which are answered before anything else: `web` has them, and a test
# holds the two against each other.
MANAGEMENT_PATHS = (
    *("/status", "/readiness", "/redines", "/healthcheck", "/helthcheck", "/health", "/stats"),
    *("/list", "/update", "/relocate", "/metrics"),
    *("/cache/purge", "/cache/stats", "/cache/warm", "/cache/forget"),
)


@dataclass(frozen=True, slots=True)
class NamedSite:
    """`label` is what a message calls it, `bucket_label` what named its bucket."""

    site: SiteConfig
    label: str
    bucket_label: str


def make_sites(
    document: Document, option: Mapping[str, object] | None, *, has_keys: bool
) -> list[NamedSite]:
    """The sites of the file, in its order, and the one that the command line makes. Raises
    ConfigError."""
    tables = [of_table(table, SITE_SETTINGS, document.label) for table in document.sites]
    sites = [
        _site(given, f"{document.file}: [[site]] number {number}", has_keys)
        for number, given in enumerate(tables, 1)
    ]
    if option is not None:
        sites.append(_site(of_table(option, SITE_SETTINGS, _option), "the site", has_keys))
    first: dict[tuple[str, str], NamedSite] = {}
    for one in sites:
        place = (one.site.host, one.site.mount)
        if place in first:
            on = f" of host {one.site.host}" if one.site.host else ""
            raise ConfigError(
                f"{one.label}: mount {one.site.mount}{on} is that of {first[place].label}, too:"
                " give it another mount or host"
            )
        first[place] = one
    return sites


def _option(name: str) -> str:
    return f"--{name.partition('.')[2].replace('_', '-')}"


def _site(given: Given, label: str, has_keys: bool) -> NamedSite:
    if "bucket" not in given:
        raise ConfigError(f"{label} has no bucket")
    values = {setting.attribute: setting.toml.partition(".")[2] for setting in SITE_SETTINGS}
    site = SiteConfig(**{field: given.get(key) for field, key in values.items() if key in given})
    if site.needs_key and not has_keys:
        raise ConfigError(f"{given.label('needs_key')} needs PARPARCHIK_API_KEYS")
    return NamedSite(site, label, given.label("bucket"))


def check_places(
    sites: Sequence[NamedSite],
    others: Sequence[tuple[str, str]],
    routes: Sequence[BucketConfig],
) -> list[str]:
    """Warnings about what hides what; `others` are what is mounted beside the sites, label and
    mount of each. Raises ConfigError where two would answer for one place.

    The management API's paths come first, then the longest path that is mounted, then routes. A
    site with a host of its own has all of that host, where there is nothing else.
    """
    names = [each.bucket.name for each in routes]
    aliases = ("public", "private") if routes else ()
    places = {f"/{name}/": f"the routes of all {name} buckets" for name in aliases}
    places |= {f"/{name}/": f"the routes of bucket {name}" for name in names}
    claims = [(one.label, one.site.mount) for one in sites if not one.site.host]
    claims[:0] = others
    warnings = []
    for label, mount in claims:
        if mount in places:
            raise ConfigError(
                f"{label}: {mount} belongs to {places[mount]}: choose another mount"
                + (', or mode = "off" for that bucket' if mount[1:-1] in names else "")
            )
        for path, what in places.items():
            if mount.startswith(path) and path != "/":
                warnings.append(f"{label}: it hides what {what} would answer below {mount}")
            elif path.startswith(mount) and mount != "/":
                warnings.append(f"{label}: below {path} answers {what}, not it")
        if mount == "/" and routes:
            warnings.append(f"{label}: it hides all routes of buckets: give it a mount or a host")
        places[mount] = label
    return warnings + [
        f"{label}: {path} is answered by the management API, not by {mount}"
        for label, mount in claims
        for path in MANAGEMENT_PATHS
        if mount != "/" and f"{path}/".startswith(mount)
    ]


def site_cautions(sites: Sequence[NamedSite]) -> list[str]:
    return [
        f"{one.label}: its auth_key is shorter than {_SHORT_KEY} characters and can be guessed"
        for one in sites
        if 0 < len(one.site.auth_key) < _SHORT_KEY
    ]
