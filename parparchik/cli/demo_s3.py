"""An S3 for the demo, in this process: moto on 127.0.0.1, holding the sample files."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import quote

from parparchik.cli.demo_files import (
    PRIVATE_BUCKET,
    PUBLIC_BUCKET,
    SITE_BUCKET,
    UPLOAD_BUCKET,
    demo_files,
    demo_site,
)
from parparchik.cli.failures import MISCONFIGURED, CommandError

_PUBLIC_READ = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            # moto asks for a HeadObject of its own; with S3 GetObject is for both.
            "Action": ["s3:GetObject", "s3:HeadObject"],
            "Resource": f"arn:aws:s3:::{PUBLIC_BUCKET}/*",
        }
    ],
}


@contextmanager
def demo_s3() -> Iterator[str]:
    """Yields the `host:port` of an S3 with its buckets filled; ends it afterwards.

    moto takes any signature for good: it shows how redirects work, not that they are right.
    """
    _forget_aws_settings()
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        raise CommandError(
            "the demo brings its own S3, which the extra `demo` installs:"
            " pip install 'parparchik[demo]' (the .pyz does not hold it)",
            MISCONFIGURED,
        ) from None
    # It would log each of our requests, with the signature of the URL.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _fill(host, port)
        yield f"{host}:{port}"
    finally:
        server.stop()


def _forget_aws_settings() -> None:
    """moto asks boto3, which reads this process's environment: an AWS_PROFILE that is not there,
    or a file it cannot read, would be an error 500 for each request."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def _fill(host: str, port: int) -> None:
    connection = HTTPConnection(host, port, timeout=10)
    try:
        for bucket in (PUBLIC_BUCKET, PRIVATE_BUCKET, SITE_BUCKET, UPLOAD_BUCKET):
            _put(connection, f"/{bucket}", b"")
        _put(connection, f"/{PUBLIC_BUCKET}?policy", json.dumps(_PUBLIC_READ).encode())
        for file in (*demo_files(), *demo_site()):
            _put(connection, f"/{file.bucket}/{quote(file.key)}", file.data, file.content_type)
    finally:
        connection.close()


def _put(connection: HTTPConnection, target: str, body: bytes, content_type: str = "") -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    connection.request("PUT", target, body, headers)
    response = connection.getresponse()
    response.read()
    if response.status not in (200, 204):
        raise CommandError(f"the demo's S3 refused PUT {target}: {response.status}")
