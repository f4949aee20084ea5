"""`parparchik presign`: the URL that a redirect would lead to, and how long it lives."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import click

from parparchik.cli.failures import MISCONFIGURED, CommandError
from parparchik.cli.options import bucket_names, config_option, load_quietly, run
from parparchik.config import Config
from parparchik.model import Method
from parparchik.routes import check_key
from parparchik.server import open_stores

_LONGEST_S = 604_800  # SigV4's limit


@click.command()
@click.argument("bucket")
@click.argument("key")
@click.option("--method", type=click.Choice(get_args(Method), case_sensitive=False), default="GET")
@click.option(
    "--expires",
    type=click.IntRange(1, _LONGEST_S),
    metavar="SECONDS",
    help="Life of the URL; otherwise PARPARCHIK_PRESIGN_EXPIRES.",
)
@config_option
def presign(
    bucket: str, key: str, method: Method, expires: int | None, config_file: Path | None
) -> None:
    """Print a URL signed for KEY in BUCKET, on the endpoint that clients are sent to.

    S3 is not asked whether the key exists.
    """
    loaded, environ = load_quietly(config_file)
    config = loaded.config
    if all(one.bucket.name != bucket for one in config.buckets):
        known = bucket_names(config) or "none"
        raise CommandError(f"bucket {bucket!r} is not configured; known: {known}", MISCONFIGURED)
    check_key(key)
    expires_s = expires or config.routes.presign_expires_s
    sign = partial(_sign, bucket=bucket, method=method, key=key, expires_s=expires_s)
    click.echo(run(sign, config, environ))


async def _sign(
    config: Config,
    environ: Mapping[str, str],
    *,
    bucket: str,
    method: Method,
    key: str,
    expires_s: int,
) -> str:
    async with open_stores(config, environ) as stores:
        store = next(store for store in stores if store.bucket.name == bucket)
        return store.presign(method, key, expires_s=expires_s).url
