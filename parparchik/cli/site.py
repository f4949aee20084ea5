"""`parparchik site`: one bucket as a website, with the options that s3-proxy had.

Whoever ran `s3proxy --bucket B --ttl 300 ...` runs `parparchik site --bucket B --ttl 300 ...`. Its
options that have no meaning here are taken and named in the log; its variables for secrets
(AWS_KEY, AWS_SECRET, AUTH_KEY) are read, as are AWS's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from click.core import ParameterSource

from parparchik.cli.options import environment
from parparchik.cli.serve import serve_as_read
from parparchik.config import load

_PORT = 8000  # s3-proxy's
_TTL_S = "300"
_AKUMULI_PORT = 8282

# The options that say what the site is, by their keys in a [[site]] table.
_OF_THE_SITE = (
    *("bucket", "prefix", "index", "error", "spa", "ttl", "negative_ttl", "auth_key"),
    *("reject_query_strings", "clean_urls", "listing", "precompressed"),
)
_LEVELS: Mapping[str, str] = MappingProxyType({"warn": "warning", "critical": "error"})
_IN_PLACE_OF_SECRETS: Mapping[str, str] = MappingProxyType(
    {"auth_key": "AUTH_KEY", "secret": "AWS_SECRET_ACCESS_KEY", "mongo_uri": "MONGO_URI"}
)
# What s3-proxy was told and this is not, and what is to be done instead.
_WITHOUT_MEANING: Mapping[str, str] = MappingProxyType(
    {
        "threads": "one process answers with one thread; --workers sets how many processes",
        "mmdb_host": "places come from a MaxMind file: --mmdb FILE",
        "mmdb_port": "places come from a MaxMind file: --mmdb FILE",
    }
)

_Decorator = Callable[[Any], Any]


def _switch(*names: str, text: str) -> _Decorator:
    """A flag that may be followed by its value, as s3-proxy's must: `--console true`."""
    return click.option(*names, is_flag=False, flag_value="true", metavar="[true|false]", help=text)


@click.command()
@click.option("--bucket", "-b", envvar="S3_BUCKET", required=True, help="Or S3_BUCKET.")
@click.option("--prefix", help="The folder of the bucket that is the site.")
@click.option("--index", help="The page of a folder (index.html).")
@click.option("--error", help="The page for what is missing, such as 404.html.")
@click.option("--spa", help="The page that navigations get where there is no file.")
@click.option("--ttl", "-t", default=_TTL_S, show_default=True, help="Seconds, or such as 5m.")
@click.option("--negative-ttl", help="How long a missing page is remembered; default: the TTL.")
@click.option("--auth-key", "-a", envvar="AUTH_KEY", help="Clears the cache. Or AUTH_KEY.")
@_switch("--reject-query-strings", "-j", text="400 for requests with a query.")
@_switch("--clean-urls", text="/about is about.html.")
@_switch("--listing", text="Folders without an index are listed.")
@_switch("--precompressed", text="Siblings .br, .zst and .gz go to those who accept them.")
@click.option("--key", "-k", envvar="AWS_KEY", help="Access key id. Or AWS_ACCESS_KEY_ID.")
@click.option(
    "--secret", "-s", envvar="AWS_SECRET", help="Its secret. Better AWS_SECRET_ACCESS_KEY."
)
@click.option("--region", "-r", help="AWS_REGION.")
@click.option("--endpoint", help="An S3 that is not AWS's: host:port or a URL (S3_ENDPOINT).")
@click.option("--host", help="Address to listen on (PARPARCHIK_HOST).")
@click.option("--port", "-p", type=click.IntRange(0, 65_535), help=f"PARPARCHIK_PORT, or {_PORT}.")
@click.option("--workers", help="Processes that answer, or auto (PARPARCHIK_WORKERS).")
@click.option("--cache-dir", "-d", help="Directory of the cache on disk (PARPARCHIK_CACHE_DIR).")
@click.option(
    "--log-level",
    "-l",
    type=click.Choice(["debug", "info", "warn", "warning", "error", "critical"]),
    help="PARPARCHIK_LOG_LEVEL.",
)
@click.option("--dir", "-o", "log_dir", help="Directory for logs (PARPARCHIK_LOG_DIR).")
@_switch("--console", "-c", text="To standard error as well (PARPARCHIK_LOG_CONSOLE).")
@click.option("--mmdb", help="MaxMind file: clients' places (PARPARCHIK_LOCATION_DATABASE).")
@click.option("--influx-url", help="Request metrics: tcp://host:port or http(s)://... to write to.")
@click.option("--akumuli-host", "-y", help="Request metrics to Akumuli.")
@click.option(
    "--akumuli-port",
    "-z",
    type=click.IntRange(1, 65_535),
    default=_AKUMULI_PORT,
    show_default=True,
)
@click.option("--akumuli-metric-prefix", "-e", default="request", show_default=True)
@click.option("--mongo-uri", "-f", envvar="MONGO_URI", help="Request metrics to MongoDB.")
@click.option("--mongo-database", "-g", default="metrics", show_default=True)
@click.option("--mongo-collection", "-i", default="request", show_default=True)
@click.option("--mmdb-host", "-m", help="Ignored: see --mmdb.")
@click.option("--mmdb-port", "-x", help="Ignored: see --mmdb.")
@click.option("--threads", "-n", help="Ignored: see --workers.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.")
@click.pass_context
def site(ctx: click.Context, /, config_file: Path | None, **options: Any) -> None:
    """Serve a bucket, or a folder of it, as a website at /.

    The options are s3-proxy's and some more. All other settings come from the environment and the
    file of --config. A secret on the command line can be seen by everybody on the machine: prefer
    the environment.
    """
    table = {name: options[name] for name in _OF_THE_SITE if options[name] is not None}
    # As with s3-proxy a missing page is remembered for as long as one that is there.
    table.setdefault("negative_ttl", options["ttl"])
    environ = site_environment(options, has_file=config_file is not None)
    notes = [
        f"--{name.replace('_', '-')} is ignored: {why}"
        for name, why in _WITHOUT_MEANING.items()
        if options[name] is not None
    ]
    notes += [
        f"--{name.replace('_', '-')} can be seen by everybody on this machine: set {better}"
        for name, better in _IN_PLACE_OF_SECRETS.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    read = partial(load, environ, config_file, site=table, sinks=_sinks(options))
    serve_as_read(read, environ, *notes)


def _sinks(options: Mapping[str, Any]) -> list[dict[str, str]]:
    """As [[sink]] tables."""
    sinks = []
    if url := options["influx_url"]:
        sinks.append({"kind": "influx", "url": url})
    if host := options["akumuli_host"]:
        url = f"tcp://{host}:{options['akumuli_port']}"
        sinks.append({"kind": "akumuli", "url": url, "name": options["akumuli_metric_prefix"]})
    if url := options["mongo_uri"]:
        names = {"database": options["mongo_database"], "name": options["mongo_collection"]}
        sinks.append({"kind": "mongodb", "url": url} | names)
    return sinks


def site_environment(options: Mapping[str, Any], *, has_file: bool) -> dict[str, str]:
    """The process's environment with the options in it that are settings of their own.

    Without a file and a variable the port is s3-proxy's. Keys that are given are used as they
    are, whatever session or profile the environment tells of."""
    level = options["log_level"]
    environ = environment(
        AWS_ACCESS_KEY_ID=options["key"],
        AWS_SECRET_ACCESS_KEY=options["secret"],
        AWS_REGION=options["region"],
        S3_ENDPOINT=options["endpoint"],
        PARPARCHIK_HOST=options["host"],
        PARPARCHIK_PORT=options["port"],
        PARPARCHIK_WORKERS=options["workers"],
        PARPARCHIK_CACHE_DIR=options["cache_dir"],
        PARPARCHIK_LOG_LEVEL=_LEVELS.get(level, level),
        PARPARCHIK_LOG_DIR=options["log_dir"],
        PARPARCHIK_LOG_CONSOLE=options["console"],
        PARPARCHIK_LOCATION_DATABASE=options["mmdb"],
    )
    if not has_file and not environ.get("PARPARCHIK_CONFIG", "").strip():
        port = environ.get("PARPARCHIK_PORT", "").strip()
        environ["PARPARCHIK_PORT"] = port or str(_PORT)
    if options["key"] is not None:
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
            environ.pop(name, None)
    return environ
