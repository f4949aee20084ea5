"""What answers for a URL that is no file route: a site, or the object gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from parparchik.cli.reasons import Line
from parparchik.config import Config


@dataclass(frozen=True, slots=True)
class Mounted:
    mount: str
    what: str
    prefix: str = ""

    def explain(self, path: str) -> list[Line]:
        key = f"{self.prefix}{unquote(path[len(self.mount) :])}"
        return [
            ("asked for", path),
            ("answered by", f"{self.what}, at {self.mount}"),
            ("key", key or "none"),
        ]


def has_own_host(config: Config, host: str) -> bool:
    """Whether sites are all that there is at `host`."""
    return any(site.host == host for site in config.sites if site.host)


def find_mount(config: Config, host: str, target: bytes) -> list[Line] | None:
    """Label and text of each step; None where routes answer. As `web.Mounts` does: the longest
    path that fits, and at the host of a site nothing but its sites."""
    path = target.partition(b"?")[0].decode()
    own = host if has_own_host(config, host) else ""
    there = [
        Mounted(site.mount, f"the site of bucket {site.bucket}", site.prefix)
        for site in config.sites
        if site.host == own
    ]
    if config.objects is not None and not own:
        there.append(Mounted(config.objects.mount, "the object gateway"))
    if found := _longest(there, path):
        return found.explain(path)
    return [("asked for", path), ("answer", f"404, {own} has only its sites")] if own else None


def _longest(there: Sequence[Mounted], path: str) -> Mounted | None:
    fitting = [one for one in there if f"{path}/".startswith(one.mount)]
    return max(fitting, key=lambda one: len(one.mount), default=None)
