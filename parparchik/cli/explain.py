"""`parparchik explain`: why a request for a file is answered as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import click

from parparchik.cli.failures import MISCONFIGURED, CommandError
from parparchik.cli.mounted import find_mount, has_own_host
from parparchik.cli.options import config_option, load_quietly, run
from parparchik.cli.reasons import Line, find_reasons
from parparchik.cli.table import printable, table
from parparchik.config import Config
from parparchik.model import Method
from parparchik.server import open_stores
from parparchik.web import BY_PATH

_URL = re.compile(r"https?://[^/?#]*([^#]*)", re.IGNORECASE)
# All that a request target can hold as it is. The rest (a space, letters beyond ASCII) is encoded,
# as browsers do for who types it.
_KEPT = "".join(map(chr, range(0x21, 0x7F)))


@click.command()
@click.argument("key_or_url")
@click.option("--head", is_flag=True, help="As asked for by HEAD.")
@config_option
def explain(key_or_url: str, head: bool, config_file: Path | None) -> None:
    """Tell what would be answered for KEY_OR_URL, and why.

    It is a URL, a path (/bucket/key), or a key alone, which is then asked for under the first
    bucket. S3 is asked as a server would ask it; nothing is written. Of what a site or the object
    gateway answers only the key is told.
    """
    loaded, environ = load_quietly(config_file)
    target = request_target(key_or_url, loaded.config)
    host = _host(key_or_url)
    if target.partition(b"?")[0] in BY_PATH and not has_own_host(loaded.config, host):
        click.echo(f"{target.decode()} is a management endpoint, not a file route")
        return
    lines = find_mount(loaded.config, host, target)
    if lines is None:
        lines = run(_explain, loaded.config, environ, "HEAD" if head else "GET", target)
    click.echo(table([(label, printable(text)) for label, text in lines]))


def request_target(key_or_url: str, config: Config) -> bytes:
    """The request target that a client would send."""
    if url := _URL.match(key_or_url):
        return quote(url[1] or "/", safe=_KEPT).encode()
    if key_or_url.startswith("/"):
        return quote(key_or_url, safe=_KEPT).encode()
    if not config.buckets:
        raise CommandError("no bucket has routes: give a path or a URL", MISCONFIGURED)
    return f"/{config.buckets[0].bucket.name}/{quote(key_or_url)}".encode()


def _host(key_or_url: str) -> str:
    """As sites have it; '' where none is given."""
    if not _URL.match(key_or_url):
        return ""
    host = urlsplit(key_or_url).hostname or ""
    return f"[{host}]" if ":" in host else host


async def _explain(
    config: Config, environ: Mapping[str, str], method: Method, target: bytes
) -> list[Line]:
    async with open_stores(config, environ) as stores:
        return await find_reasons(stores, config, method, target)
