"""Two buckets on a moto, and the program run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import quote

from click.testing import Result

# `command("check --no-write", environ)`; a list where an argument has spaces.
Command = Callable[..., Result]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A public and a private bucket, empty at first, and the environment that leads there."""

    endpoint: str
    public: str
    private: str

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PARPARCHIK_BUCKETS": f"{self.public}::public,{self.private}",
            "S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test-key-id",
            "AWS_SECRET_ACCESS_KEY": "test-secret-access-key",
            "PARPARCHIK_HOST": "127.0.0.1",
        }

    def put(self, bucket: str, key: str, data: bytes = b"x") -> None:
        assert self.request("PUT", f"/{bucket}/{quote(key)}", data)[0] == 200

    def get(self, bucket: str, key: str) -> bytes | None:
        status, body = self.request("GET", f"/{bucket}/{quote(key)}")
        return body if status == 200 else None

    def allow_anyone(self, policy: str) -> None:
        assert self.request("PUT", f"/{self.public}?policy", policy.encode())[0] in (200, 204)

    def request(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = HTTPConnection(self.endpoint, timeout=10)
        try:
            connection.request(method, target, body, {"Authorization": "moto takes anything"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
