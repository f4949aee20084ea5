"""The dedup store's races: both sides do what they are compared at, and who does not is noticed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from bench.compare.dedup import (
    PEER,
    RACES,
    DedupContestant,
    contestants_of,
    dedup_deck,
    judge_dedup,
)
from bench.compare.dedup_rounds import dedup_rounds
from bench.compare.dedup_sections import DEDUP_GROUPS
from bench.compare.effort import Effort
from bench.compare.filetracker import BUILT, NoPeer, Peer, find_peer
from bench.compare.judge import WrongAnswer
from bench.compare.stage import Stage
from bench.load import FILE_BYTES, Ask
from bench.local import share_out

NOBODY = DedupContestant("nobody", "nobody", "nobody", "nothing", "/ft")
PUT, DUPLICATE, GET, LIST = RACES
TINY = Effort(rounds=1, dedup_turn_s=0.3, listed_files=30)


@dataclass
class Faults:
    """What the test's own server does wrong."""

    spoils: bool = False
    size: bool = False
    lists_all: bool = False
    keeps: bool = False
    drops_shared: bool = False
    refuses: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def storing(stage: Stage, faults: Faults) -> Iterator[None]:
    files = faults.files

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.startswith("/ft/list/"):
                folder = path.replace("/ft/list/", "/ft/files/") + "/"
                names = [
                    name.removeprefix(folder)
                    for name in files
                    if name.startswith(folder) or faults.lists_all
                ]
                self.answer(200, "".join(f"{name}\n" for name in names).encode())
            elif path in files:
                body = files[path]
                self.answer(200, body[:-1] + b"!" if faults.spoils else body)
            else:
                self.answer(404, b"")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            files[urlsplit(self.path).path] = body
            self.answer(200, b"")

        def do_DELETE(self) -> None:
            body = files[urlsplit(self.path).path]
            if faults.drops_shared:
                files.clear()
            elif not faults.keeps:
                del files[urlsplit(self.path).path]
            self.answer(200, b"" if body else b"!")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(500 if self.command == faults.refuses else status)
            self.send_header("Logical-Size", "1" if faults.size else str(FILE_BYTES))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stage.ports["nobody"] = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_who_keeps_what_it_is_given_is_let_pass(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with storing(stage, Faults()):
        judge_dedup(NOBODY, stage)
        judge_dedup(NOBODY, stage)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(spoils=True),
        Faults(size=True),
        Faults(lists_all=True, files={"/ft/files/else": b"x"}),
        Faults(keeps=True),
        Faults(drops_shared=True),
        Faults(refuses="PUT"),
        Faults(refuses="DELETE"),
    ],
    ids=lambda faults: str(faults)[:70],
)
def test_who_does_not_is_noticed(faults: Faults, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with storing(stage, faults), pytest.raises(WrongAnswer, match="nobody"):
        judge_dedup(NOBODY, stage)


async def test_ours_takes_part_without_a_peer(tmp_path: Path) -> None:
    samples = await rounds_of(tmp_path, None)
    assert list(samples) == [race.group for race in RACES]
    for race in RACES:
        names = [each.name for each in race.contestants if each.program != PEER]
        assert samples[race.group] == names


@pytest.mark.skipif(not BUILT.exists(), reason="needs what `make filetracker` makes")
async def test_the_peer_takes_part_where_it_is_there(tmp_path: Path) -> None:
    samples = await rounds_of(tmp_path, find_peer())
    for race in RACES:
        assert samples[race.group] == [each.name for each in race.contestants]


async def rounds_of(directory: Path, peer: Peer | None) -> dict[str, list[str]]:
    """Who was measured in each race, all without an error."""
    cpus = share_out()
    processors = [*cpus.server, *cpus.load] or [0, 0]
    with trio.fail_after(120):
        found = await dedup_rounds(
            Stage(directory), peer, processors=processors, effort=TINY, say=lambda _: None
        )
    assert {turn.errors for turns in found.values() for turn in turns} == {0}
    return {group: [turn.contestant for turn in turns] for group, turns in found.items()}


def asks(number: int, race_number: int) -> list[Ask]:
    return list(islice(dedup_deck(RACES[race_number], NOBODY, listed=30).deal(0, 1), number))


def test_what_is_put_was_never_put_before() -> None:
    first, second = ({ask.path for ask in asks(500, 0)} for _ in range(2))
    assert len(first) == len(second) == 500
    assert not first & second
    assert len({ask.sent for ask in asks(500, 0)}) == 500


def test_a_duplicate_has_a_path_of_its_own_and_nothing_else() -> None:
    dealt = asks(500, 1)
    assert len({ask.path for ask in dealt}) == 500
    assert len({ask.sent for ask in dealt}) == 1


def test_what_is_read_and_listed_is_known() -> None:
    assert {len(ask.expected.body or b"") > 1000 for ask in asks(300, 2)} == {True}
    [ask] = asks(1, 3)
    assert ask.expected.body_bytes == len("".join(f"{n}\n" for n in range(30)))


def test_every_race_has_its_section_and_both_sides() -> None:
    assert [race.group for race in RACES] == list(DEDUP_GROUPS)
    for race in RACES:
        *ours, theirs = race.contestants
        assert (ours[0].program, theirs.program) == ("ours-dedup", PEER)
        assert contestants_of(race, with_peer=False) == tuple(ours)


def test_a_peer_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoPeer, match="make filetracker"):
        find_peer(tmp_path / "python")


def test_a_python_without_it_says_what_is_missing(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"No module named 'bsddb3'\" >&2; exit 1\n")
    python.chmod(0o755)
    with pytest.raises(NoPeer, match="bsddb3"):
        find_peer(python)


def test_what_is_no_python_does_not_run(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_bytes(b"\x7fELF")
    python.chmod(0o755)
    with pytest.raises(NoPeer, match="does not run"):
        find_peer(python)


def test_the_versions_are_those_of_its_own_environment(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"filetracker": "2.3.3"}\'\n')
    python.chmod(0o755)
    peer = find_peer(python)
    assert peer.versions == {"filetracker": "2.3.3"}
    program = peer.program(Stage(tmp_path))
    assert program.argv[0] == str(python)
    assert program.environ["PATH"].startswith(f"{tmp_path}:")
