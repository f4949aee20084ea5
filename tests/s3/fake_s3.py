"""S3's way of answering, for scripted servers, and buckets that ask them."""

from __future__ import annotations

from collections.abc import Mapping

from parparchik.config.model import BucketConfig, Endpoint, S3Config
from parparchik.model import Bucket
from parparchik.s3 import Credentials, S3Bucket, S3Client, S3Objects
from tests.s3.scripted import ScriptedServer, Seen

KEYS = Credentials("AKIDEXAMPLE", "SECRETEXAMPLE")
# Nothing takes long.
QUICK = S3Config(
    connect_timeout_s=2, read_timeout_s=2, total_timeout_s=5, probe_timeout_s=5, retries=2
)
OBJECT = {
    "Last-Modified": "Tue, 05 May 2026 10:00:00 GMT",
    "ETag": '"0123"',
}


def answer(
    status: int,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    to_head: bool = False,
) -> bytes:
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if to_head else body)


def error(
    seen: Seen, status: int, code: str, headers: Mapping[str, str] | None = None, more: str = ""
) -> bytes:
    """An error as S3 words it: to a HEAD without its body."""
    body = f"<Error><Code>{code}</Code><Message>of arn:aws:iam::1234</Message>{more}</Error>"
    return answer(status, headers, body.encode(), to_head=seen.method == "HEAD")


def config_of(
    server: ScriptedServer, name: str = "files", *, external_url: str | None = None
) -> BucketConfig:
    endpoint = Endpoint(region="eu-west-1", url=server.url, external_url=external_url)
    return BucketConfig(Bucket(name), endpoint)


def open_bucket(client: S3Client, server: ScriptedServer, name: str = "files") -> S3Bucket:
    return client.bucket(config_of(server, name), lambda: KEYS)


def open_objects(client: S3Client, server: ScriptedServer, name: str = "files") -> S3Objects:
    return client.objects(config_of(server, name), lambda: KEYS)
