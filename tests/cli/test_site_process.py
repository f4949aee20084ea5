"""`parparchik site` as its users run it, and `parparchik cache` at its server."""

from __future__ import annotations

import json
import re
import signal
from http.client import HTTPConnection
from pathlib import Path

from tests.cli.moto_buckets import Buckets, Command
from tests.cli.processes import program

KEY = "the-key-of-the-operator"
BEARER = "a-long-bearer-token"


def get(
    url: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read()
    finally:
        connection.close()


def test_a_site_and_its_cache(command: Command, buckets: Buckets, tmp_path: Path) -> None:
    buckets.put(buckets.private, "index.html", b"<p>one</p>")
    buckets.put(buckets.private, "a.txt", b"a")
    buckets.put(buckets.private, "b.txt", b"b")
    environ = {"PARPARCHIK_HOST": "127.0.0.1", "PARPARCHIK_API_KEYS": KEY, "AUTH_KEY": BEARER}
    environ |= {"AWS_KEY": "test-key-id", "AWS_SECRET": "test-secret-access-key"}
    line = f"site --bucket {buckets.private} --endpoint {buckets.endpoint} --port 0 --ttl 300"
    with program(*line.split(), environ=environ) as running:
        found = re.search(r"http://[0-9.:]+", running.wait_for("listening"))
        assert found is not None
        url = found[0]
        assert get(url, "/")[2] == b"<p>one</p>"
        status, headers, body = get(url, "/")
        assert (status, headers["x-cache"], body) == (200, "HIT", b"<p>one</p>")
        assert get(url, "/nowhere")[0] == 404

        # New bytes are seen when the operator says so, and not before.
        buckets.put(buckets.private, "index.html", b"<p>two</p>")
        assert get(url, "/")[2] == b"<p>one</p>"
        at = ["--url", url, "--api-key", KEY]
        result = command(["cache", "purge", buckets.private, "index.html", *at])
        assert (result.exit_code, result.output) == (0, "purged 1\n")
        assert get(url, "/")[2] == b"<p>two</p>"

        keys = tmp_path / "keys"
        keys.write_text("a.txt\nb.txt\nc.txt\n")
        result = command(["cache", "warm", buckets.private, str(keys), *at])
        assert result.exit_code == 0, result.output
        assert result.output == (
            "2 objects of 2 bytes are in the cache, 0 are never kept, 1 missing, 0 failed\n"
        )
        assert get(url, "/b.txt")[1]["x-cache"] == "HIT"

        figures = json.loads(command(["cache", "stats", "--json", *at]).output)
        assert isinstance(figures, dict)
        assert command(["cache", "stats", "--url", url]).exit_code == 1
        result = command(["cache", "purge", "--all", *at])
        assert result.exit_code == 0, (result.output, running.output)
        assert get(url, "/b.txt")[1]["x-cache"] == "MISS"

        # s3-proxy's own way.
        clear = "/_proxy/_private/_cache/clear"
        assert get(url, clear)[0] == 403
        assert get(url, clear, Authorization=f"Bearer {BEARER}")[0] == 304
        assert get(url, "/b.txt")[1]["x-cache"] == "MISS"
        assert running.end(signal.SIGTERM) == 0
    for secret in (KEY, BEARER, "test-secret-access-key"):
        assert secret not in running.output
    assert "Traceback" not in running.output
