"""Fuzzed streams never make the two planes disagree on where a request ends, and leave nothing.

Seeded, so that a failure comes again. PARPARCHIK_FUZZ is how many streams are judged, and a fifth
of them are brought to servers too: the default of 10,000 takes half a minute, 100,000 some five.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from random import Random

import pytest
import structlog

from parparchik.edge import Judge, Limits
from parparchik.edge.head import Unsound, parse_head
from parparchik.model import Answer, Request, Upload
from parparchik.web import Place
from tests.e2e.hostile import Planes, Seen, both_planes
from tests.e2e.streams import TAIL, cut, stream
from tests.edge.conftest import until
from tests.edge.test_framing import as_h11_reads, as_llhttp_reads
from tests.mounts import FakeMount

STREAMS = int(os.environ.get("PARPARCHIK_FUZZ", "10000"))
BATCH = 50
LONG_QUIET_S = 0.3
UNREAD = b"/m/unread"
# The edge's memo fills up, with 65,536 numbers and 8,192 heads at most.
GROWTH_BYTES = 24 * 1024 * 1024

Requests = list[tuple[bytes, bytes, bytes]]
TAKES_BODIES = (b"PUT", b"POST", b"DELETE")
LARGEST_BODY_BYTES = Limits().max_body_bytes


def judged(pieces: list[bytes]) -> tuple[bytes, bool]:
    """What passes the judge, and whether it refuses."""
    judge = Judge()
    verdicts = [judge.feed(piece) for piece in pieces]
    return b"".join(verdict.sound for verdict in verdicts), verdicts[-1].refusal is not None


def as_the_edge_reads(data: bytes) -> Requests:
    """(method, target, body) of the requests that the edge could answer, up to the first that it
    hands over or refuses."""
    seen: Requests = []
    with suppress(Unsound):
        while (end := data.find(b"\r\n\r\n") + 4) > 3 and not data.startswith((b"PRI ", b"\x16")):
            head = parse_head(data[:end])
            body_end = end + (head.content_length or 0)
            is_small = body_end - end <= (LARGEST_BODY_BYTES * (head.method in TAKES_BODIES))
            if head.chunked or not is_small or body_end > len(data):
                break
            seen.append((head.method, head.target, data[end:body_end]))
            if not head.keep_alive:
                break
            data = data[body_end:]
    return seen


def test_judge_edge_and_two_parsers_read_alike() -> None:
    random = Random(1)
    sound_streams = tails = uploads = 0
    for _ in range(STREAMS):
        data = stream(random) + TAIL
        sound, refused = judged([data])
        by_h11 = as_h11_reads(sound)
        by_edge = as_the_edge_reads(data)
        assert by_edge == by_h11[: len(by_edge)], data
        if b"PRI * HTTP/2.0" not in sound and b"CONNECT" not in sound:
            by_llhttp = as_llhttp_reads(sound)
            assert by_llhttp == by_h11[: len(by_llhttp)], data
        at_pieces, refused_too = judged(cut(random, data))
        assert (at_pieces, refused_too) == (sound, refused), data
        sound_streams += not refused
        tails += bool(by_h11) and by_h11[-1][:2] == (b"GET", b"/tail")
        uploads += sum(method in TAKES_BODIES for method, _, _ in by_edge)
    assert sound_streams > STREAMS // 10
    assert tails > STREAMS // 10
    assert uploads > STREAMS // 10


def batches(random: Random, count: int) -> Iterator[list[bytes]]:
    for start in range(0, count, BATCH):
        yield [stream(random) + TAIL for _ in range(min(BATCH, count - start))]


async def test_both_planes_answer_the_same_requests_of_a_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with both_planes(tmp_path, [Place("", "/m/", FakeMount(acts=act))]) as planes:
            tails = await bring_all(Random(2), planes)
    assert tails > STREAMS // 50
    assert [each for each in logs if each["log_level"] not in ("debug", "info")] == []
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


async def act(request: Request, upload: Upload) -> Answer:
    """Tells what came, so that the planes are held to the same body."""
    digest = hashlib.sha256()
    while request.target != UNREAD and (piece := await upload.read()):
        digest.update(piece)
    told = b"%b=%b" % (request.target, digest.hexdigest().encode())
    return Answer(302, ((b"location", told),), kind="mount")


async def bring_all(random: Random, planes: Planes) -> int:
    """How many tails were answered."""
    tails = 0
    before = 0, 0
    for number, streams in enumerate(batches(random, STREAMS // 5)):
        # TLS is the same code behind a handshake: dear, so for some.
        ways = {
            "edge": [(planes.edge, [data]) for data in streams],
            "edge, in pieces": [(planes.edge, cut(random, data)) for data in streams],
            "handed over": [(planes.handed_over, [data]) for data in streams],
            "TLS": [(planes.tls, [data]) for data in streams[::10]],
        }
        seen = iter(await planes.see(list(chain.from_iterable(ways.values()))))
        by_way = {way: [next(seen) for _ in brought] for way, brought in ways.items()}
        by_edge = by_way.pop("edge")
        for way, others in by_way.items():
            step = 10 if way == "TLS" else 1
            for data, edge, other in zip(streams[::step], by_edge[::step], others, strict=True):
                if not agree(edge, other):
                    await look_again(planes, way, data)
        tails += sum((302, b"n-tail") in each.answers for each in by_edge)
        if number == 4:  # everything that is made once has been
            before = await left_by(planes)
    descriptors, size_bytes = await left_by(planes)
    assert descriptors <= before[0]
    assert size_bytes - before[1] < GROWTH_BYTES
    return tails


async def look_again(planes: Planes, way: str, data: bytes) -> None:
    """On a machine that has much to do, an answer may come after the time for it."""
    ways = {"handed over": planes.handed_over, "TLS": planes.tls}
    if way in ways:
        brought = [(ways[way], [data])]
    else:
        brought = [(planes.edge, [data[:at], data[at:]]) for at in range(1, len(data))]
    edge, *others = await planes.see([(planes.edge, [data]), *brought], quiet_s=LONG_QUIET_S)
    for other in others:
        assert agree(edge, other), (way, data, edge, other)


def agree(one: Seen, other: Seen) -> bool:
    """Whether the same requests were answered. A request that is refused for what it is (405, 413),
    or answered without a look at its body, may be so before that is whole: then the connection ends
    there, and where the body turns out unsound either refusal may be the one that is written."""
    if one == other:
        return True
    short, long = sorted((one, other), key=lambda seen: len(seen.answers))
    *before, last = short.answers or [(0, b"")]
    return (
        short.closed
        and (last[0] in (400, 405, 413) or last[1].startswith(UNREAD))
        and long.answers[: len(before)] == tuple(before)
        and (long.answers[len(before)] == last or len(long.answers) == len(short.answers))
    )


async def left_by(planes: Planes) -> tuple[int, int]:
    """(descriptors, resident bytes) of this process, when no connection is left."""
    await until(lambda: not planes.plane.count)
    return len(os.listdir("/proc/self/fd")), resident_bytes()


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")
