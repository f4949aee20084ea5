"""The races about bytes: the object gateway beside nginx `proxy_cache`.

A race is a value: who is in it, what is asked, and how answers are looked at. S3 is the nginx that
serves files, for both sides; what is PUT goes to the stand-in of this suite, which counts it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http.client import HTTPConnection
from itertools import count
from typing import Literal

from bench.compare.judge import WrongAnswer
from bench.compare.programs import Program, parparchik
from bench.compare.stage import (
    BULK_BUCKET,
    COLD_BYTES,
    LARGE_BYTES,
    LARGE_KEYS,
    SMALL_BYTES,
    SMALL_KEYS,
    Stage,
)
from bench.load import Ask, Cycle, Deck, Expected
from bench.stand_in import BucketSpec, stand_in_argv

PUT_BYTES = 32 << 20  # ours sends it in parts
PUT_KEYS = 8
FEW_CONNECTIONS = 8
COLD_KEYS = 3000  # for each turn; nobody gets to the last in a few seconds

Kind = Literal["small", "large", "cold", "put"]
"""`small`, `large`: out of the cache. `cold`: each object for the first time."""


@dataclass(frozen=True, slots=True)
class BulkContestant:
    """`mount` is what stands before bucket and key in its paths."""

    name: str
    title: str
    program: str
    port: str
    does: str
    mount: str = ""


@dataclass(frozen=True, slots=True)
class BulkRace:
    """`group` as in `Entrant.group`."""

    group: str
    kind: Kind
    connections: int
    contestants: tuple[BulkContestant, ...]


_GATEWAY = "/objects"
_KEPT = "into a cache of 1 GiB on disk while it goes out"

RACES = (
    BulkRace(
        "bulk-small",
        "small",
        32,
        (
            BulkContestant(
                *("ours-small", "**parparchik**", "ours-bulk", "ours-bulk"),
                "the object gateway, out of memory: conditions, ranges and codings are looked at",
                _GATEWAY,
            ),
            BulkContestant(
                *("nginx-small", "nginx `proxy_cache`", "bulk", "bulk"),
                "out of files that it keeps open",
            ),
        ),
    ),
    BulkRace(
        "bulk-large",
        "large",
        32,
        (
            BulkContestant(
                *("ours-large", "**parparchik**", "ours-disk", "ours-disk"),
                "the object gateway, out of its cache on disk, by sendfile",
                _GATEWAY,
            ),
            BulkContestant(
                *("nginx-large", "nginx `proxy_cache`", "bulk", "bulk-large"),
                "out of files that it keeps open, by sendfile in pieces of 256 KiB",
            ),
        ),
    ),
    BulkRace(
        "bulk-cold",
        "cold",
        FEW_CONNECTIONS,
        (
            BulkContestant(
                *("ours-cold", "**parparchik**", "ours-bulk", "ours-bulk"),
                "the object gateway without a cache on disk; GETs are signed, and who asks for the "
                "same object meanwhile gets the same bytes",
                _GATEWAY,
            ),
            BulkContestant(
                *("nginx-cold", "nginx, no cache", "bulk", "bulk-cold"), "passes it on, unsigned"
            ),
            BulkContestant(
                *("ours-kept", "**parparchik, kept on disk**", "ours-disk", "ours-disk"),
                f"{_KEPT}, with its SHA-256, and an fsync for each file",
                _GATEWAY,
            ),
            BulkContestant(
                *("nginx-kept", "nginx `proxy_cache`, kept on disk", "bulk", "bulk-keeping"),
                f"{_KEPT}, with neither",
            ),
        ),
    ),
    BulkRace(
        "bulk-put",
        "put",
        FEW_CONNECTIONS,
        (
            BulkContestant(
                *("ours-put", "**parparchik**", "ours-put", "ours-put"),
                "in parts of 15 MiB, each signed with its SHA-256; the cache forgets the object "
                "when it is stored",
                _GATEWAY,
            ),
            BulkContestant(
                *("nginx-put", "nginx, request buffering off", "bulk", "bulk-put"),
                "passes it on as it is, unsigned",
            ),
        ),
    ),
)


def bulk_programs(stage: Stage) -> dict[str, Program]:
    """What the contestants need, by name; `sink` has to be up first."""
    disk = {
        "PARPARCHIK_CACHE_DIR": str(stage.directory / "cache"),
        "PARPARCHIK_CACHE_DISK": "1GiB",
        "PARPARCHIK_CACHE_MEMORY_OBJECT": "64KiB",  # what is larger comes from disk
    }
    made = [
        Program("bulk", stage.nginx("bulk"), {}, stage.port("bulk")),
        _gateway(stage, "ours-bulk"),
        _gateway(stage, "ours-disk", **disk),
        _gateway(stage, "ours-put", S3_ENDPOINT=f"http://127.0.0.1:{stage.port('sink')}"),
    ]
    return {program.name: program for program in made}


def sink(stage: Stage) -> Program:
    """The S3 that takes PUTs."""
    port = stage.port("sink")
    argv = tuple(stand_in_argv([BucketSpec(BULK_BUCKET, sink=True)], port))
    return Program("sink", argv, {}, port)


def _gateway(stage: Stage, name: str, **environ: str) -> Program:
    allowed = {"PARPARCHIK_OBJECTS_ALLOWED_BUCKETS": f"{BULK_BUCKET}:all"}
    program = parparchik(stage, name, **allowed, **environ)
    kept = {key: value for key, value in program.environ.items() if key != "PARPARCHIK_BUCKETS"}
    return replace(program, environ=kept)


_turns = count()


def deck_of(kind: Kind, contestant: BulkContestant) -> Deck:
    """The requests of one turn: of what is cold, never those of another."""
    match kind:
        case "small":
            keys, expected = list(SMALL_KEYS), Expected(200, body_bytes=SMALL_BYTES)
        case "large":
            keys, expected = list(LARGE_KEYS), Expected(200, body_bytes=LARGE_BYTES)
        case "cold":
            turn = next(_turns)
            keys = [f"cold-{turn}-{number}" for number in range(COLD_KEYS)]
            expected = Expected(200, body_bytes=COLD_BYTES)
        case "put":
            keys, expected = [f"put-{number}" for number in range(PUT_KEYS)], Expected(200)
    put_bytes = PUT_BYTES if kind == "put" else 0
    return Cycle(tuple(Ask(path_of(contestant, key), expected, put_bytes) for key in keys))


def path_of(contestant: BulkContestant, key: str) -> str:
    return f"{contestant.mount}/{BULK_BUCKET}/{key}"


def judge_bulk(race: BulkRace, contestant: BulkContestant, stage: Stage) -> None:
    """Whether it does what it is compared at. Afterwards what has to be in its cache is there.
    Raises WrongAnswer."""
    connection = HTTPConnection("127.0.0.1", stage.port(contestant.port), timeout=30)
    try:
        if race.kind == "put":
            _judge_put(contestant, stage, connection)
        elif race.kind == "cold":
            _judge_get(contestant, connection, stage, f"cold-{next(_turns)}", hit=False)
        else:
            for key in SMALL_KEYS if race.kind == "small" else LARGE_KEYS:
                _judge_get(contestant, connection, stage, key, hit=None)
                _judge_get(contestant, connection, stage, key, hit=True)
    finally:
        connection.close()


def _judge_get(
    contestant: BulkContestant,
    connection: HTTPConnection,
    stage: Stage,
    key: str,
    *,
    hit: bool | None,
) -> None:
    """`hit`: whether it must come out of the cache; None: it may."""
    connection.request("GET", path_of(contestant, key))
    response = connection.getresponse()
    if response.status != 200 or response.read() != stage.bulk_content(key):
        raise WrongAnswer(f"{contestant.name}: {response.status} and not what {key} is")
    cached = response.headers.get("X-Cache") == "HIT"
    if hit is not None and cached is not hit:
        raise WrongAnswer(f"{contestant.name}: X-Cache of {key} is {response.headers['X-Cache']}")


def _judge_put(contestant: BulkContestant, stage: Stage, connection: HTTPConnection) -> None:
    key = f"judged-{contestant.name}"
    connection.request("PUT", path_of(contestant, key), bytes(PUT_BYTES))
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise WrongAnswer(f"{contestant.name}: {response.status} for a PUT")
    s3 = HTTPConnection("127.0.0.1", stage.port("sink"), timeout=30)
    s3.request("HEAD", f"/{BULK_BUCKET}/{key}")
    stored = s3.getresponse()
    s3.close()
    if stored.status != 200 or stored.headers["Content-Length"] != str(PUT_BYTES):
        raise WrongAnswer(f"{contestant.name}: what was PUT is not at S3")
