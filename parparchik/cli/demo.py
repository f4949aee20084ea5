"""`parparchik demo`: an S3 with sample files and parparchik in front of it, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import click

from parparchik.cli.demo_files import (
    PRIVATE_BUCKET,
    PUBLIC_BUCKET,
    SITE_BUCKET,
    UPLOAD_BUCKET,
)
from parparchik.cli.demo_s3 import demo_s3
from parparchik.cli.failures import OK
from parparchik.cli.options import run
from parparchik.config import load
from parparchik.server import serve as serve_requests

_CYRILLIC = quote("contracts/Договор 7.txt")
_TO_TRY = (
    (
        "a public file: the redirect is a plain URL",
        f"curl -sL {{}}/{PUBLIC_BUCKET}/docs/readme.txt",
    ),
    ("a private one: presigned", f"curl -sL {{}}/{PRIVATE_BUCKET}/{_CYRILLIC}"),
    ("by what its bucket is, and HEAD", "curl -sIL {}/public/images/sunset.png"),
    (
        "asked for in one bucket, and the first that has it answers",
        f"curl -sL {{}}/{PRIVATE_BUCKET}/shared/notice.txt",
    ),
    ("what there is", "curl -s {}/list"),
    ("a private bucket as a website", "curl -s {}/site/guide/"),
    (
        "a player's first question: 206, and from the cache when asked again",
        "curl -s -o /dev/null -D - -H 'Range: bytes=0-' {}/site/sunset.png",
    ),
    (
        "through the object gateway: an upload",
        # With curl's own type, that of forms, moto stores nothing.
        "curl -s -X PUT -H 'Content-Type: text/plain' -d 'Hello, bucket.'"
        f" {{}}/objects/{UPLOAD_BUCKET}/hello.txt",
    ),
    ("and what it stored; see X-Cache", f"curl -si {{}}/objects/{UPLOAD_BUCKET}/hello.txt"),
)

_SITE = f"""
[[site]]
mount = "/site/"
bucket = "{SITE_BUCKET}"
error = "404.html"
"""


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True)
def demo(port: int) -> int:
    """Start an S3 with sample files and parparchik in front of it, and say what to try.

    Both listen on 127.0.0.1 only, and nothing is kept. Settings from the environment do not
    count. Ends with Ctrl-C.
    """
    try:
        with demo_s3() as endpoint:
            environ = demo_environment(endpoint, port)
            config = load(environ, _SITE.encode()).config
            run(partial(serve_requests, config, environ, on_ready=_say_what_to_try))
    except KeyboardInterrupt:
        pass  # while it was starting
    return OK


def demo_environment(endpoint: str, port: int) -> dict[str, str]:
    """The settings of the demo, as an operator would give them."""
    return {
        "PARPARCHIK_BUCKETS": f"{PUBLIC_BUCKET}::public,{PRIVATE_BUCKET}",
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": str(port),
        "PARPARCHIK_OBJECTS_ALLOWED_BUCKETS": f"{UPLOAD_BUCKET}:all,{PUBLIC_BUCKET}:read",
        "S3_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo-secret-key",
    }


def _say_what_to_try(urls: Sequence[str]) -> None:
    click.echo(f"\nparparchik answers on {urls[0]}; Ctrl-C ends it. Try:\n")
    for meaning, command in _TO_TRY:
        click.echo(f"# {meaning}\n{command.format(urls[0])}\n")
