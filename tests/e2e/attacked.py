"""A gateway and two sites as one process before a rude S3, and ways to ask it for odd things."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.e2e.rude_s3 import (
    BUCKET,
    Answers,
    Asked,
    Said,
    absent,
    object_of,
    rude_s3,
    said,
)
from tests.real_s3.serving import Server, serving

KEY = "a-long-key-of-the-operator"
PLACE = f"/objects/{BUCKET}"
QUIET_S = 1.0  # for what has no end that a client could see

CONFIG = f"""
[[site]]
bucket = "{BUCKET}"
mount = "/site/"

[[site]]
bucket = "{BUCKET}"
mount = "/site/others/"
prefix = "others/"
needs_key = true
"""


class OfAnyKey(dict[str, Answers]):
    """Keys that begin with o are objects that say their name, if `answers` has nothing else for
    them; what is stored is in `stored`."""

    def __init__(self, answers: Mapping[str, Answers]) -> None:
        super().__init__(answers)
        self.stored: list[tuple[str, str, bytes]] = []

    def get(self, key: str, default: object = None) -> Answers:
        return super().get(key) or self._answer

    def _answer(self, asked: Asked) -> Said:
        if asked.method in ("GET", "HEAD"):
            if not asked.key.startswith("o"):
                return absent(asked)
            return object_of(f"I am {asked.key}".encode(), method=asked.method)
        self.stored.append((asked.method, asked.key, asked.body))
        return said(200 if asked.method == "PUT" else 204, 'ETag: "e"', "Content-Length: 0")


@contextmanager
def attacked(folder: Path, answers: OfAnyKey) -> Iterator[Server]:
    """Whatever was done to it, at the end it is ready and has not stumbled."""
    (folder / "parparchik.toml").write_text(CONFIG)
    with rude_s3() as s3:
        s3.answers = answers
        environ = {
            "ALLOWED_BUCKETS": f"{BUCKET}:all",
            "PARPARCHIK_CONFIG": str(folder / "parparchik.toml"),
            "PARPARCHIK_API_KEYS": KEY,
            "PARPARCHIK_HOST": "127.0.0.1",
            "PARPARCHIK_PORT": "0",
            "PARPARCHIK_LOG_FORMAT": "json",
            "PARPARCHIK_S3_READ_TIMEOUT": "1",
            "S3_ENDPOINT": s3.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "PARPARCHIK_CACHE_DIR": str(folder / "cache"),
        }
        with serving(environ) as server:
            yield server
            assert server.get("/readiness").status_code == 200
            assert "Traceback" not in server.process.output


def asked(server: Server, key: str, method: str = "GET", **headers: str) -> httpx.Response | None:
    """None where it broke off."""
    try:
        return server.http.request(
            method, f"{server.url}{PLACE}/{key}", headers=headers, timeout=60
        )
    except httpx.TransportError:
        return None


def talk(server: Server, data: bytes) -> bytes:
    """All that comes, until nothing does."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname or "", where.port or 0)) as sock:
        sock.settimeout(QUIET_S)
        received = b""
        try:
            sock.sendall(data)
            while piece := sock.recv(65_536):
                received += piece
        except OSError:
            pass
        return received
