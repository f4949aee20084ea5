"""What all contestants of one comparison share: the keys, the credentials, the ports, a directory.

Everything is decided here before the first program starts, so that each of them can be told where
S3 is and all Locations have the same length.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare.machine import MODULES, nginx
from parparchik.rfc import format_iso8601
from parparchik.s3 import Credentials
from parparchik.s3.presign import presign_url
from parparchik.s3.sigv4 import signing_key

PEERS = Path(__file__).parent.parent / "peers"
BUCKET = "bench"
REGION = "us-east-1"
CREDENTIALS = Credentials("BENCHACCESSKEY", "BENCHSECRETKEY")
EXPIRES_S = 3600
KEYS = tuple(f"file-{number:03}" for number in range(200))
MODIFIED_S = 1_767_000_000
BULK_BUCKET = "bulk"
SMALL_KEYS = tuple(f"small-{number:03}" for number in range(200))
LARGE_KEYS = tuple(f"large-{number:03}" for number in range(64))
SMALL_BYTES, LARGE_BYTES, COLD_BYTES = 1 << 10, 1 << 20, 8 << 20
_PORTS = range(20_000, 32_768)


@dataclass(frozen=True, slots=True)
class Stage:
    """`directory` is an empty one of ours; `ports` maps a name to a free port of 127.0.0.1."""

    directory: Path
    ports: dict[str, int] = field(default_factory=dict)

    def port(self, name: str) -> int:
        """The port of that name. Always five digits, for a port is part of a Location's length,
        and below those that the system gives to clients: one of them would have it by the time
        that its program starts. Any of them, for a comparison beside this one looks for its own."""
        if name not in self.ports:
            taken = self.ports.values()
            any_port = random.sample(_PORTS, len(_PORTS))
            self.ports[name] = next(p for p in any_port if p not in taken and _is_free(p))
        return self.ports[name]

    @property
    def certificate(self) -> Path:
        """What to trust of those that speak TLS; see `bench.local.make_certificate`."""
        return self.directory / "certificate.pem"

    @property
    def s3_url(self) -> str:
        return f"http://127.0.0.1:{self.port('s3')}"

    def path(self, key: str) -> str:
        return f"/{BUCKET}/{key}"

    def location(self, key: str, *, now_s: float) -> str:
        """What a contestant that signs must send a client to."""
        return presign_url(
            "GET",
            self.s3_url,
            self.path(key),
            credentials=CREDENTIALS,
            region=REGION,
            now_s=now_s,
            expires_s=EXPIRES_S,
        )

    def environ(self) -> dict[str, str]:
        """For the programs that are configured by environment."""
        return {
            "S3_ENDPOINT": self.s3_url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key_id,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_access_key,
            "BENCH_EXPIRES_S": str(EXPIRES_S),
        }

    def nginx(self, name: str) -> tuple[str, ...]:
        """The command line of nginx with bench/peers/<name>.conf, filled in below `directory`."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        values = {
            "PORT": self.port(name),
            "KEPT_PORT": self.port(f"{name}-kept"),
            "SOCKET_PORT": self.port(f"{name}-socket"),
            "PLAIN_PORT": self.port(f"{name}-plain"),
            "SUBREQUEST_PORT": self.port(f"{name}-subrequest"),
            "S3_PORT": self.port("s3"),
            "USER": f"user {getpass.getuser()};" if os.geteuid() == 0 else "",
            "MODULES": MODULES,
            "PEERS": PEERS,
            "DIRECTORY": self.directory,
            "BUCKET": BUCKET,
            "REGION": REGION,
            "ACCESS_KEY_ID": CREDENTIALS.access_key_id,
            "SECRET_ACCESS_KEY": CREDENTIALS.secret_access_key,
            "EXPIRES_S": EXPIRES_S,
            "BULK_BUCKET": BULK_BUCKET,
            "LARGE_PORT": self.port(f"{name}-large"),
            "COLD_PORT": self.port(f"{name}-cold"),
            "KEEPING_PORT": self.port(f"{name}-keeping"),
            "PUT_PORT": self.port(f"{name}-put"),
            "SINK_PORT": self.port("sink"),
            "LOCATION": self.location(KEYS[0], now_s=time.time()),
        }
        template = (PEERS / f"{name}.conf").read_text()
        text = re.sub(r"@([A-Z0-9_]+)@", lambda found: str(values[found[1]]), template)
        (directory / "nginx.conf").write_text(text)
        return (nginx(), "-p", f"{directory}/", "-c", "nginx.conf", "-e", "stderr")

    def furnish(self) -> None:
        """The files that nginx serves as S3, and what njs is told beforehand."""
        objects = self.directory / "objects"
        self._furnish_bulk(objects / BULK_BUCKET)
        (objects / BUCKET / ".parparchik").mkdir(parents=True)
        for key in KEYS:
            file = objects / BUCKET / key
            file.write_text("0123456789")
            os.utime(file, (MODIFIED_S, MODIFIED_S))
        modified = format_iso8601(MODIFIED_S)
        entries = [{"key": key, "size": 10, "last_modified": modified} for key in KEYS]
        (objects / BUCKET / ".parparchik" / "files.json").write_text(json.dumps(entries))
        contents = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{modified}</LastModified>"
            "<ETag>&quot;1&quot;</ETag><Size>10</Size></Contents>"
            for key in KEYS
        )
        head = '<?xml version="1.0" encoding="UTF-8"?>\n'
        (objects / "listing.xml").write_text(
            f'{head}<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><KeyCount>{len(KEYS)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        )
        (objects / "no-such-key.xml").write_text(f"{head}<Error><Code>NoSuchKey</Code></Error>")
        date = time.strftime("%Y%m%d", time.gmtime())
        (self.directory / "day.json").write_text(
            json.dumps(
                {
                    "date": date,
                    "signing_key": signing_key(
                        CREDENTIALS.secret_access_key, date, REGION, "s3"
                    ).hex(),
                    "region": REGION,
                    "access_key_id": CREDENTIALS.access_key_id,
                    "secret_access_key": CREDENTIALS.secret_access_key,
                    "expires_s": EXPIRES_S,
                    "authority": f"127.0.0.1:{self.port('s3')}",
                }
            )
        )

    def _furnish_bulk(self, folder: Path) -> None:
        """`cold` is what the S3 sends for every key that begins so."""
        folder.mkdir(parents=True)
        for key in (*SMALL_KEYS, *LARGE_KEYS, "cold"):
            (folder / key).write_bytes(self.bulk_content(key))

    @staticmethod
    def bulk_content(key: str) -> bytes:
        """What the object is: random, so that nobody could compress it, and the same each time."""
        size_bytes = {"small": SMALL_BYTES, "large": LARGE_BYTES}.get(key[:5], COLD_BYTES)
        return random.Random("cold" if key.startswith("cold") else key).randbytes(size_bytes)


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
