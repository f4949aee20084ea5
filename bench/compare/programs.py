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
    """`name` is what figures are filed under; `title` what people read."""

    name: str
    title: str
    kind: Kind
    program: str
    port: str


REDIRECT = (
    Contestant("parparchik", "**parparchik**", "signed", "ours", "ours"),
    Contestant("parparchik-log", "parparchik, access log on", "signed", "ours-log", "ours-log"),
    Contestant("nginx", "nginx `return 302`", "fixed", "redirect", "redirect"),
    Contestant("lua", "nginx + Lua, signed per request", "signed", "lua", "lua"),
    Contestant("njs", "nginx + njs, signed per request", "signed", "njs", "njs"),
    Contestant("uvicorn", "ASGI on uvicorn, signed per request", "signed", "uv", "uv"),
    Contestant("uvicorn-framed", "ASGI on uvicorn, our presigner", "signed", "uvf", "uvf"),
    Contestant("uvicorn-prepared", "ASGI on uvicorn, prepared", "signed", "uvp", "uvp"),
    Contestant("granian", "ASGI on granian, signed per request", "signed", "gr", "gr"),
    Contestant("granian-prepared", "ASGI on granian, prepared", "signed", "grp", "grp"),
    Contestant("quart", "Quart on Hypercorn, per request", "signed", "quart", "quart"),
)
STRICT = (
    Contestant("parparchik-strict", "**parparchik**", "verified", "strict", "strict"),
    Contestant("lua-socket", "nginx + Lua, cosocket", "verified", "lua", "lua-socket"),
    Contestant("lua-subrequest", "nginx + Lua, subrequest", "verified", "lua", "lua-subrequest"),
    Contestant("lua-plain", "nginx + Lua, commonly written", "verified", "lua", "lua-plain"),
    Contestant("njs-subrequest", "nginx + njs, subrequest", "verified", "njs", "njs-subrequest"),
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
