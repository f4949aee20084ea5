"""Small uploads, which the edge takes, and which over TLS the web plane takes: the same answers,
the same bodies, the same records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from parparchik.errors import BadDigest, Forbidden, Overloaded, Unavailable
from parparchik.model import Answer, Request, Upload
from parparchik.web import Place
from tests.e2e.byte_clients import HTTP_1, WAYS, Fields, ask, http_1
from tests.e2e.hostile import Planes, both_planes
from tests.edge.conftest import until
from tests.mounts import Blocks, FakeMount

SMALL = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
RAISES = {
    b"forbidden": Forbidden("not here"),
    b"digest": BadDigest("another digest"),
    b"full": Overloaded("too many"),
    b"away": Unavailable("S3 is away", retry_after_s=3),
    b"bug": RuntimeError("a bug"),
}
GIVES = {
    b"created": Answer(201, ((b"etag", b'"x"'), (b"location", b"/m/new")), b"", "objects"),
    b"json": Answer(200, ((b"content-type", b"application/json"),), b"{}", "objects"),
    b"large": Answer(200, (), b"x" * 5_000, "objects"),
    b"204": Answer(204, ((b"x", b"y"),), b"", "objects"),
    b"304": Answer(304, ((b"etag", b'"x"'),), b"", "objects"),
    b"412": Answer(412, (), b"no", "objects"),
}


class Store:
    """Tells of each request by the last part of its target; `seen` has their bodies."""

    def __init__(self) -> None:
        self.seen: list[tuple[Request, int | None, bytes]] = []
        self.go_on = trio.Event()

    async def act(self, request: Request, upload: Upload) -> Answer:
        what = request.target.partition(b"?")[0].rpartition(b"/")[2]
        if what == b"unread":
            return Answer(200, (), b"unread")
        if what in RAISES:
            raise RAISES[what]
        body = b""
        while piece := await upload.read():
            body += piece
        self.seen.append((request, upload.size_bytes, body))
        if what == b"waits":
            await self.go_on.wait()
        if what == b"streamed":
            return Blocks([b"one", b"two"]).answer(status=200)
        return GIVES.get(what) or Answer(200, (), b"%d bytes" % len(body), "objects")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def planes(tmp_path: Path, store: Store) -> AsyncIterator[Planes]:
    mount = FakeMount(acts=store.act, methods=("GET", "HEAD", "PUT", "POST", "DELETE"))
    reading = FakeMount(methods=("GET", "HEAD"))
    places = [Place("", "/m/", mount), Place("", "/r/", reading), Place("site.test", "/", mount)]
    async with both_planes(tmp_path, places, upload_timeout_s=5.0) as planes:
        yield planes


def handed_over(planes: Planes) -> int:
    return planes.plane.connections().handed_over


ID = ((b"x-request-id", b"from-the-client"),)
INSANE = ((b"x-request-id", b"not sane"),)
TRACE = ((b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)
SIZES = (0, 1, 4_096, 16_384, 65_536)
TABLE: tuple[tuple[str, str, Fields, bytes | None], ...] = (
    *(("PUT", "/m/k", (), b"x" * size) for size in SIZES if size <= 16_384),
    *(("PUT", f"/m/{what.decode()}", (), SMALL) for what in (*RAISES, *GIVES, b"unread")),
    *(("DELETE", f"/m/{what.decode()}", (), None) for what in (*RAISES, *GIVES, b"unread")),
    *(
        ("POST", "/m/k?uploads", (), SMALL),
        ("DELETE", "/m/k", (), SMALL),
        ("DELETE", "/m", (), None),
    ),
    *(("PUT", "/m/streamed", (), SMALL), ("PUT", "/m/%6b/../x?a=b&c", (), SMALL)),
    *(("PUT", "/m/k", ID, SMALL), ("PUT", "/m/k", INSANE, SMALL), ("PUT", "/m/k", TRACE, SMALL)),
    *(("PUT", "/r/k", (), SMALL), ("DELETE", "/r/k", (), None), ("POST", "/r/k?x", (), b"")),
    *(("PUT", "/m/k?", (), SMALL), ("PUT", "/%6d/k", (), SMALL)),
)


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    TABLE,
    ids=[f"{method} {target} {len(body or b'')}" for method, target, _, body in TABLE],
)
async def test_all_planes_give_the_same_answer(
    planes: Planes, store: Store, method: str, target: str, headers: Fields, body: bytes | None
) -> None:
    edge = await ask(planes, "edge", method, target, headers, body=body)
    assert handed_over(planes) == 0
    await until(planes.traffic.requests)
    ((kind, status, _),) = planes.traffic.requests()
    for way in WAYS[1:]:
        assert await ask(planes, way, method, target, headers, body=body) == edge
    # Who was handed over has asked for something else first.
    await until(lambda: (kind, status, len(WAYS)) in planes.traffic.requests())
    assert [name for name, _ in edge.headers][-2:] == [b"x-request-id", b"date"]
    seen = {(size, got) for _, size, got in store.seen}
    assert len(seen) <= 1  # the same body each time, and the same told of its size
    assert {got for _, got in seen} <= {body or b""}
    targets = {(each.method, each.target, each.api_key) for each, _, _ in store.seen}
    assert len(targets) <= 1


# Elsewhere a large body may end the connection that an answer does not wait for.
@pytest.mark.parametrize(
    ("way", "size"), [("edge", size) for size in SIZES] + [("handed_over", 9), ("tls", 9)]
)
async def test_a_connection_goes_on_behind_them(planes: Planes, way: str, size: int) -> None:
    async with http_1(planes, way) as connection:
        for target, status in (("/m/k", 200), ("/m/unread", 200), ("/m/bug", 500), ("/r/k", 405)):
            headers = ((b"content-length", b"%d" % size),)
            await connection.send("PUT", target, headers, body=b"x" * size)
            assert (await connection.answer("PUT")).status == status
        await connection.send("GET", "/b/k")
        assert (await connection.answer("GET")).status == 302
    assert handed_over(planes) == (way == "handed_over")


@pytest.mark.parametrize("way", HTTP_1)
async def test_what_is_sent_at_once_is_answered_in_its_order(
    planes: Planes, store: Store, way: str
) -> None:
    put = b"PUT /m/k HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (len(SMALL), SMALL)
    delete = b"DELETE /m/created HTTP/1.1\r\nHost: t\r\n\r\n"
    get = b"GET /b/k HTTP/1.1\r\nHost: t\r\n\r\n"
    async with http_1(planes, way) as connection:
        await connection.stream.send_all(get + put + delete + get + put + put)
        statuses = [(await connection.answer("GET")).status for _ in range(6)]
    assert statuses == [302, 200, 201, 302, 200, 200]
    assert [body for _, _, body in store.seen] == [SMALL, b"", SMALL, SMALL]


@pytest.mark.parametrize(
    "lines", [b"Connection: close\r\n", b"Connection: x, CLOSE\r\n", b""], ids=["", "list", "1.0"]
)
async def test_the_last_answer_says_so(planes: Planes, lines: bytes) -> None:
    version = b"1.1" if lines else b"1.0"
    put = b"PUT /m/created HTTP/%b\r\nHost: t\r\n%bContent-Length: 5\r\n\r\nhello" % (
        version,
        lines,
    )
    given = []
    for way in HTTP_1:
        async with http_1(planes, way) as connection:
            await connection.stream.send_all(put + SMALL)
            given.append(await connection.answer("PUT"))
            name, value = given[-1].headers[-1]
            assert (name.lower(), value) == (b"connection", b"close")
            with pytest.raises(EOFError), trio.fail_after(5):
                await connection.more()
    assert [each.headers[:-1] for each in given] == [given[0].headers[:-1]] * 3


@pytest.mark.parametrize("way", HTTP_1)
async def test_a_client_that_does_not_wait_has_it_done(
    planes: Planes, store: Store, way: str
) -> None:
    async with http_1(planes, way) as connection:
        await connection.send("PUT", "/m/waits", ((b"content-length", b"5"),), body=b"hello")
        await until(lambda: store.seen)
    await trio.testing.wait_all_tasks_blocked(0.01)
    store.go_on.set()
    await until(lambda: not planes.plane.count)
    assert [body for _, _, body in store.seen] == [b"hello"]


async def test_a_body_that_comes_late_is_the_web_planes(planes: Planes, store: Store) -> None:
    async with http_1(planes, "edge") as connection:
        for body in (b"hello", b"again"):
            head = b"PUT /m/k HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"
            await connection.stream.send_all(head + body[:2])
            await until(lambda: handed_over(planes))
            await connection.stream.send_all(body[2:])
            assert (await connection.answer("PUT")).body == b"5 bytes"
    assert handed_over(planes) == 1
    assert [body for _, _, body in store.seen] == [b"hello", b"again"]
