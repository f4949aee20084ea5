"""A HEAD without credentials, and what becomes of servers that do not answer it."""

from __future__ import annotations

import socket
import threading

import pytest

from parparchik.cli.anonymous import anonymous_status


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", 403),
        (b"garbage\r\n", None),
        (b"", None),
    ],
)
def test_status(answer: bytes, status: int | None) -> None:
    seen: list[bytes] = []

    def answer_once(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            seen.append(connection.recv(65_536))
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        assert anonymous_status(f"http://127.0.0.1:{port}/files/a%20b") == status
        thread.join()
    assert seen[0].startswith(b"HEAD /files/a%20b HTTP/1.1\r\n")
    assert b"authorization" not in seen[0].lower()


def test_nobody_there() -> None:
    assert anonymous_status("http://127.0.0.1:1/a") is None
    assert anonymous_status("https://127.0.0.1:1/a") is None
