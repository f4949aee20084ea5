"""The container image and the compose file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import yaml

from parparchik.config.load import load
from tests.packaging.programs import PACKAGING

FOLDER = PACKAGING / "container"


class Health(BaseHTTPRequestHandler):
    """200 for /healthcheck and 503 for anything else, or 503 for everything."""

    healthy = True

    def do_GET(self) -> None:
        self.send_response(200 if self.healthy and self.path == "/healthcheck" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base names it so
        pass


@pytest.fixture(params=[True, False], ids=["healthy", "failing"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    handler = type("Handler", (Health,), {"healthy": request.param})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, request.param
        server.shutdown()
        thread.join()


def dockerfile() -> str:
    """With continued lines joined, as the builder reads it."""
    return re.sub(r"\\\n", "", (FOLDER / "Dockerfile").read_text())


def health_command() -> list[str]:
    match = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    assert match is not None
    command: list[str] = json.loads(match[1])
    assert command[0] == "python3"
    return [sys.executable, *command[1:]]


def test_the_health_check_tells_a_healthy_process_from_another(server: tuple[int, bool]) -> None:
    port, healthy = server
    environment = {"PARPARCHIK_PORT": str(port)}
    result = subprocess.run(health_command(), env=environment, capture_output=True, check=False)
    assert (result.returncode == 0) is healthy


def test_the_health_check_notices_that_nobody_listens() -> None:
    environment = {"PARPARCHIK_PORT": "1"}
    result = subprocess.run(health_command(), env=environment, capture_output=True, check=False)
    assert result.returncode != 0


def test_the_image_runs_as_nobody_and_is_unpacked_before() -> None:
    lines = dockerfile().splitlines()
    order = [next(i for i, line in enumerate(lines) if line.startswith(word)) for word in _ORDER]
    assert order == sorted(order)
    assert "USER 65532:65532" in lines


_ORDER = ("ENV SHIV_ROOT=", "RUN ", "USER ", "ENTRYPOINT ")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return found


def test_what_compose_sets_is_a_configuration_for_the_buckets_it_makes(
    services: dict[str, Any],
) -> None:
    environment = services["parparchik"]["environment"]
    config = load({name: str(value) for name, value in environment.items()}).config
    (script,) = services["buckets"]["command"]
    made = re.search(r"^mc mb --ignore-existing (.*)$", script, re.MULTILINE)
    assert made is not None
    names = [one.bucket.name for one in config.buckets]
    assert [word.removeprefix("s3/") for word in made[1].split()] == names
    public = re.findall(r"^mc anonymous set download s3/(.*)$", script, re.MULTILINE)
    assert public == [one.bucket.name for one in config.buckets if one.bucket.public]


def test_compose_starts_in_order_and_listens_on_this_machine_only(services: dict[str, Any]) -> None:
    assert services["buckets"]["depends_on"] == {"minio": {"condition": "service_healthy"}}
    assert services["parparchik"]["depends_on"] == {
        "buckets": {"condition": "service_completed_successfully"}
    }
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
