"""The programs that are compared, and the contestants: what each of them is asked to do.

One program may be several contestants: an nginx listens on a port for each way of doing it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from bench.compare.stage import BUCKET, Stage

Kind = Literal["fixed", "signed", "verified"]
"""`fixed`: the same Location for every path. `signed`: each key's own presigned URL. `verified`:
that, after a HEAD to S3 for each request."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command line, what is added to the environment, and a port that tells that it is up."""

    name: str
    argv: tuple[str, ...]
    environ: dict[str, str]
    port: int
    ready_path: str = ""
    """A path that answers 200 once the program is ready for its work; none: when it listens."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """`name` is what figures are filed under; `title` and `does` are what people read: who, and
    what that does for one request. `port` is its port's name."""

    name: str
    title: str
    kind: Kind
    program: str
    port: str
    does: str = ""
    tls: bool = False


_BY_THE_BOOK = "presigns each URL by the book, with the day's signing key kept"
_ONCE = "presigns each URL once and keeps it for good"
_KEPT = "signed HEADs and URLs are kept for three minutes"

REDIRECT = (
    Contestant(
        *("parparchik", "**parparchik**", "signed", "ours", "ours"),
        "answers from memory; a URL is presigned anew when a twentieth of its hour has passed",
    ),
    Contestant(
        *("parparchik-log", "parparchik, access log on", "signed", "ours-log", "ours-log"),
        "the same, and writes a line of JSON to a file",
    ),
    Contestant(
        *("nginx", "nginx `return 302`", "fixed", "redirect", "redirect"),
        "sends everybody to one Location, as long as a presigned URL, out of its configuration",
    ),
    Contestant(
        *("lua", "nginx + Lua, signed per request", "signed", "lua", "lua"),
        "presigns each URL, with OpenSSL's SHA-256 called directly, and what all URLs of a second "
        "have in common made once",
    ),
    Contestant(
        *("lua-kept", "nginx + Lua, URLs kept", "signed", "lua", "lua-kept"),
        "takes the URL out of a table; presigned anew after three minutes, as ours",
    ),
    Contestant(
        *("njs", "nginx + njs, signed per request", "signed", "njs", "njs"),
        "presigns each URL: one SHA-256, one HMAC",
    ),
    Contestant(
        *("uvicorn", "ASGI on uvicorn, signed per request", "signed", "uv", "uv"), _BY_THE_BOOK
    ),
    Contestant(
        *("uvicorn-framed", "ASGI on uvicorn, our presigner", "signed", "uvf", "uvf"),
        "presigns each URL with parparchik's presigner, which makes what all URLs of a second have "
        "in common once",
    ),
    Contestant(
        *("uvicorn-prepared", "ASGI on uvicorn, prepared", "signed", "uvp", "uvp"),
        f"{_ONCE}: what is left is the server",
    ),
    Contestant(
        *("granian", "ASGI on granian, signed per request", "signed", "gr", "gr"), _BY_THE_BOOK
    ),
    Contestant(*("granian-prepared", "ASGI on granian, prepared", "signed", "grp", "grp"), _ONCE),
    Contestant(
        *("quart", "Quart on Hypercorn, per request", "signed", "quart", "quart"),
        f"{_BY_THE_BOOK}, in a route of a Quart application",
    ),
)
STRICT = (
    Contestant(
        *("parparchik-strict", "**parparchik**", "verified", "strict", "strict"),
        f"with PARPARCHIK_VERIFY=always, a HEAD over a kept connection; {_KEPT}",
    ),
    Contestant(
        *("lua-socket", "nginx + Lua, cosocket, all kept", "verified", "lua", "lua-socket"),
        f"a HEAD by a cosocket with a pool, of whose answer only the status is read; {_KEPT}",
    ),
    Contestant(
        *("lua-subrequest", "nginx + Lua, subrequest, all kept", "verified", "lua"),
        "lua-subrequest",
        f"a HEAD by a subrequest to an upstream with kept connections; {_KEPT}",
    ),
    Contestant(
        *("lua-plain", "nginx + Lua, commonly written", "verified", "lua", "lua-plain"),
        "a HEAD by a cosocket with a pool, its headers read into a table; HEAD and URL are signed "
        "for each request, the signing key derived each time",
    ),
    Contestant(
        *("njs-subrequest", "nginx + njs, subrequest", "verified", "njs", "njs-subrequest"),
        "a HEAD by a subrequest; HEAD and URL are signed for each request, for njs keeps nothing "
        "between requests",
    ),
)
# "-strict" with a HEAD to S3 for each request; "-tls" over HTTP/1.1 and TLS.
WORKERS = (
    Contestant("workers-1", "**one worker**", "signed", "workers-1", "workers-1"),
    Contestant("workers-2", "**two workers**", "signed", "workers-2", "workers-2"),
    Contestant(
        *("workers-1-strict", "**one worker, strict**", "verified"),
        *("workers-1-strict", "workers-1-strict"),
    ),
    Contestant(
        *("workers-2-strict", "**two workers, strict**", "verified"),
        *("workers-2-strict", "workers-2-strict"),
    ),
    Contestant(
        *("workers-1-tls", "**one worker, TLS**", "signed", "workers-1", "workers-1-tls"),
        tls=True,
    ),
    Contestant(
        *("workers-2-tls", "**two workers, TLS**", "signed", "workers-2", "workers-2-tls"),
        tls=True,
    ),
)


def s3(stage: Stage) -> Program:
    """nginx as the S3 that stands behind."""
    return Program("s3", stage.nginx("s3"), {}, stage.port("s3"))


def programs(stage: Stage) -> dict[str, Program]:
    """Everything that the contestants need, by name. S3 has to be up when ours start."""
    made = [
        *(Program(name, stage.nginx(name), {}, stage.port(name)) for name in _NGINX),
        parparchik(stage, "ours"),
        parparchik(stage, "ours-log", PARPARCHIK_ACCESS_LOG="true"),
        parparchik(stage, "strict", PARPARCHIK_VERIFY="always"),
        *(_workers(stage, count) for count in (1, 2)),
        *(_workers(stage, count, "-strict", PARPARCHIK_VERIFY="always") for count in (1, 2)),
        _uvicorn(stage, "uv", "signed"),
        _uvicorn(stage, "uvf", "framed"),
        _uvicorn(stage, "uvp", "prepared"),
        _granian(stage, "gr", "signed"),
        _granian(stage, "grp", "prepared"),
        _python(stage, "quart", "hypercorn", "bench.peers.quart_app:app", "--bind"),
    ]
    return {program.name: program for program in made}


def parparchik(stage: Stage, name: str, *options: str, **environ: str) -> Program:
    """Ours, with its defaults but for the access log. It speaks no word but of errors."""
    port = stage.port(name)
    settings = {
        "PARPARCHIK_BUCKETS": BUCKET,
        "PARPARCHIK_HOST": "127.0.0.1",
        "PARPARCHIK_PORT": str(port),
        "PARPARCHIK_ACCESS_LOG": "false",
        "PARPARCHIK_LOG_FORMAT": "json",
        **stage.environ(),
        **environ,
    }
    argv = (sys.executable, "-m", "parparchik", "serve", *options)
    return Program(name, argv, settings, port, "/readiness")


def _workers(stage: Stage, count: int, kind: str = "", **environ: str) -> Program:
    """Ours with so many workers; it speaks TLS as well, on a port of its own."""
    name = f"workers-{count}{kind}"
    tls = {
        "PARPARCHIK_TLS_CERTIFICATE": str(stage.certificate),
        "PARPARCHIK_TLS_KEY": str(stage.certificate.with_name("key.pem")),
        "PARPARCHIK_TLS_PORT": str(stage.port(f"{name}-tls")),
    }
    return parparchik(stage, name, "--workers", str(count), **tls, **environ)


_NGINX = ("redirect", "lua", "njs")


def _uvicorn(stage: Stage, name: str, application: str) -> Program:
    return _python(
        stage,
        name,
        *("uvicorn", f"bench.peers.asgi:{application}", "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--lifespan", "off", "--log-level", "error", "--host", "127.0.0.1"),
        "--port",
    )


def _granian(stage: Stage, name: str, application: str) -> Program:
    return _python(
        stage,
        name,
        *("granian", f"bench.peers.asgi:{application}", "--interface", "asginl", "--loop"),
        *("uvloop", "--workers", "1", "--no-access-log", "--log-level", "error", "--http", "1"),
        *("--host", "127.0.0.1", "--port"),
    )


def _python(stage: Stage, name: str, *arguments: str) -> Program:
    """`python -m ARGUMENTS PORT`; for `--bind`, HOST:PORT."""
    port = stage.port(name)
    last = f"127.0.0.1:{port}" if arguments[-1] == "--bind" else str(port)
    argv = (sys.executable, "-m", *arguments, last)
    return Program(name, argv, stage.environ(), port)
