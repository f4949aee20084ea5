"""The races of the dedup store: filetracker's protocol, beside filetracker's own server.

Both are sent the same requests by the same generator. Ours keeps its files at an S3, the stand-in
of this suite, which has them in memory; the peer keeps them on a disk, the one that has the
databases of both.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from itertools import count
from typing import Literal

from bench.compare.filetracker import directory_of
from bench.compare.judge import WrongAnswer
from bench.compare.programs import Program, parparchik
from bench.compare.stage import Stage
from bench.load import (
    FILE_BYTES,
    Ask,
    Cycle,
    Deck,
    Expected,
    FilesPut,
    LoadFailed,
    Plan,
    SmallFile,
    Target,
    fire,
    version_query,
)
from bench.stand_in import BucketSpec, stand_in_argv

FILES_BUCKET = "files"
READ_FILES = 300
CONNECTIONS = 32
PEER = "filetracker"
_NUMBERS_A_TURN = 10_000_000
_LISTS_AT_ONCE = 1
_FILL_CONNECTIONS = 48

Kind = Literal["put", "duplicate", "get", "list"]


@dataclass(frozen=True, slots=True)
class DedupContestant:
    """`mount` is what stands before files/ and list/ in its paths."""

    name: str
    title: str
    program: str
    does: str
    mount: str = ""


@dataclass(frozen=True, slots=True)
class DedupRace:
    """`group` as in `Entrant.group`. `lists`: so many in a turn, and no longer."""

    group: str
    kind: Kind
    contestants: tuple[DedupContestant, ...]
    connections: int = CONNECTIONS
    lists: int | None = None


_OURS = "**parparchik**"
_THEIRS = "filetracker's own server"

RACES = (
    DedupRace(
        "dedup-put",
        "put",
        (
            DedupContestant(
                *("ours-dedup-put", _OURS, "ours-dedup"),
                "looks into the gzip for digest and size, PUTs it to S3, signed, and refers to it "
                "in SQLite; on disk when it is answered",
                "/ft",
            ),
            DedupContestant(
                *("filetracker-put", _THEIRS, PEER),
                "believes digest and size, commits to Berkeley DB, on disk, then writes the file "
                "and a symbolic link to it, which are not yet on disk when it is answered",
            ),
        ),
    ),
    DedupRace(
        "dedup-duplicate",
        "duplicate",
        (
            DedupContestant(
                *("ours-dedup-duplicate", _OURS, "ours-dedup"),
                "looks into the gzip all the same, and refers to what S3 has",
                "/ft",
            ),
            DedupContestant(
                *("filetracker-duplicate", _THEIRS, PEER), "counts one link more, and makes it"
            ),
        ),
    ),
    DedupRace(
        "dedup-get",
        "get",
        (
            DedupContestant(
                *("ours-dedup-get", _OURS, "ours-dedup"),
                "out of memory, where files that were read lately are; asks SQLite each time "
                "whether anything has changed",
                "/ft",
            ),
            DedupContestant(
                *("ours-dedup-s3", "**parparchik, each time from S3**", "ours-dedup-s3"),
                "keeps nothing in memory: asks SQLite what the file is, and S3 for its bytes",
                "/ft",
            ),
            DedupContestant(
                *("filetracker-get", _THEIRS, PEER),
                "follows the link, asks Berkeley DB for the size, and sends the file",
            ),
        ),
    ),
    DedupRace(
        "dedup-list",
        "list",
        (
            DedupContestant(
                *("ours-dedup-list", _OURS, "ours-dedup"),
                "reads SQLite page by page, in the order of the paths",
                "/ft",
            ),
            DedupContestant(*("filetracker-list", _THEIRS, PEER), "walks its folders, in no order"),
        ),
        connections=_LISTS_AT_ONCE,
        lists=2,
    ),
)


def dedup_programs(stage: Stage) -> tuple[Program, ...]:
    """Ours, with the same files; `blobs` has to be up first."""
    return (
        _dedup(stage, "ours-dedup"),
        _dedup(stage, "ours-dedup-s3", PARPARCHIK_DEDUP_MEMORY="0"),
    )


def _dedup(stage: Stage, name: str, **environ: str) -> Program:
    program = parparchik(
        stage,
        name,
        PARPARCHIK_DEDUP_BUCKET=FILES_BUCKET,
        PARPARCHIK_DEDUP_METADATA=f"sqlite:///{stage.directory / 'dedup.db'}",
        S3_ENDPOINT=f"http://127.0.0.1:{stage.port('blobs')}",
        **environ,
    )
    kept = {key: value for key, value in program.environ.items() if key != "PARPARCHIK_BUCKETS"}
    return replace(program, environ=kept)


def blobs(stage: Stage) -> Program:
    """The S3 that has what is PUT."""
    port = stage.port("blobs")
    return Program("blobs", tuple(stand_in_argv([BucketSpec(FILES_BUCKET)], port)), {}, port)


def contestants_of(race: DedupRace, *, with_peer: bool) -> tuple[DedupContestant, ...]:
    return tuple(one for one in race.contestants if with_peer or one.program != PEER)


_turns = count(1)


def dedup_deck(race: DedupRace, contestant: DedupContestant, *, listed: int) -> Deck:
    """The requests of one turn: what is PUT, nobody has PUT before. `listed` files are there to be
    listed."""
    files, first = f"{contestant.mount}/files", next(_turns) * _NUMBERS_A_TURN
    match race.kind:
        case "put":
            return FilesPut(f"{files}/new/{{n}}", first)
        case "duplicate":
            return FilesPut(f"{files}/same/{{n}}", first, content=0)
        case "get":
            return Cycle(
                tuple(
                    Ask(f"{files}/read/{n}", Expected(200, body=SmallFile.of(n).gzip))
                    for n in range(READ_FILES)
                )
            )
        case "list":
            size_bytes = sum(len(f"{n}\n") for n in range(listed))
            path = f"{contestant.mount}/list/listed"
            return Cycle((Ask(path, Expected(200, body_bytes=size_bytes)),))


async def fill(
    contestant: DedupContestant, stage: Stage, processors: Sequence[int], *, listed: int
) -> None:
    """What is there to be read and to be listed. Raises LoadFailed.

    A commit for each would take the peer a minute: of the files to be listed it is sent one, and
    links like that one's are made beside it, which are all that it looks at."""
    files = f"{contestant.mount}/files"
    theirs = contestant.program == PEER
    for deck, number in (
        (FilesPut(f"{files}/read/{{n}}"), READ_FILES),
        (FilesPut(f"{files}/listed/{{n}}", content=0), 1 if theirs else listed),
    ):
        outcome = await fire(
            Plan(
                Target("127.0.0.1", stage.port(contestant.program)),
                deck,
                connections=min(number, _FILL_CONNECTIONS),
                duration_s=None,
                requests=number,
                warm_up_s=0,
                processors=tuple(processors),
            )
        )
        if outcome.requests != number:
            raise LoadFailed(f"{contestant.name}: {dict(outcome.errors)} while it was filled")
    if theirs:
        folder = directory_of(stage) / "links" / "listed"
        to = os.readlink(folder / "0")
        for n in range(1, listed):
            os.symlink(to, folder / str(n))


def judge_dedup(contestant: DedupContestant, stage: Stage) -> None:
    """Whether it keeps what it is given: the bytes, the size, the list, once more under another
    path, and no longer than it is to. Raises WrongAnswer."""
    number = next(_turns) * _NUMBERS_A_TURN
    file = SmallFile.of(number)
    folder = f"judged/{number}"
    connection = HTTPConnection("127.0.0.1", stage.port(contestant.program), timeout=30)

    def say(method: str, path: str, status: int) -> tuple[bytes, str]:
        """(body, Logical-Size)."""
        body, headers = b"", {"Accept-Encoding": "gzip, deflate"}
        if method == "PUT":
            body, headers = file.gzip, dict(file.sent().headers)
        connection.request(method, f"{contestant.mount}{path}", body, headers)
        response = connection.getresponse()
        found = response.read()
        if response.status != status:
            raise WrongAnswer(f"{contestant.name}: {response.status} for {method} {path}")
        return found, response.headers.get("Logical-Size", "")

    try:
        for name in ("one", "other"):
            path = f"/files/{folder}/{name}"
            say("GET", path, 404)
            say("PUT", f"{path}{version_query()}", 200)
            found, size = say("GET", path, 200)
            if found != file.gzip or len(gzip.decompress(found)) != FILE_BYTES:
                raise WrongAnswer(f"{contestant.name}: {path} is not what was PUT")
            if size != str(FILE_BYTES):
                raise WrongAnswer(f"{contestant.name}: Logical-Size of {path} is {size!r}")
        listed, _ = say("GET", f"/list/{folder}", 200)
        if sorted(listed.splitlines()) != [b"one", b"other"]:
            raise WrongAnswer(f"{contestant.name}: {listed!r} is the list of {folder}")
        say("DELETE", f"/files/{folder}/one{version_query()}", 200)
        say("GET", f"/files/{folder}/one", 404)
        say("GET", f"/files/{folder}/other", 200)
    finally:
        connection.close()
