"""Listings of a site by several processes: what was written through one is listed by all."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from tests.e2e.byte_groups import DEADLINE_S, Group, group, until
from tests.e2e.bytes_s3 import BUCKET, BytesS3
from tests.e2e.rclone import ENVIRON, rclone
from tests.plain_http import NO_TLS

WORKERS = 2
SITE = f"""
[[site]]
bucket = "{BUCKET}"
mount = "/site/"
listing = true
"""


def listed_by_each(running: Group) -> dict[int, set[str]]:
    """Names, by the number of the worker that says so."""
    found: dict[int, set[str]] = {}

    def ask() -> bool:
        name = f"list-{time.monotonic_ns()}"
        answer = httpx.get(
            f"{running.url}/site/docs/",
            headers={"X-Request-Id": name, "Accept": "application/json"},
            timeout=DEADLINE_S,
            verify=NO_TLS,
        )
        worker = running.worker_of(name)
        found.setdefault(worker, {file["name"] for file in answer.json()["files"]})
        return len(found) == running.workers

    until(ask, lambda: running.program.output)
    return found


def test_what_is_written_is_listed_by_all_at_once(tmp_path: Path) -> None:
    config = tmp_path / "parparchik.toml"
    config.write_text(SITE)
    with rclone({BUCKET: ("docs/first",)}) as endpoint:
        more = {"PARPARCHIK_CONFIG": str(config), **ENVIRON}
        with group(BytesS3(endpoint=endpoint), WORKERS, **more) as running:
            names = {"first"}
            assert listed_by_each(running) == dict.fromkeys((1, 2), names)
            for number in range(5):
                assert running.put(f"docs/{number}", b"x").status_code == 200
                names = names | {str(number)}
                assert listed_by_each(running) == dict.fromkeys((1, 2), names)
            gone = httpx.delete(running.url_of("docs/first"), verify=NO_TLS)
            assert gone.status_code == 204
            assert listed_by_each(running) == dict.fromkeys((1, 2), names - {"first"})
