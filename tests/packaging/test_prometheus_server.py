"""A real Prometheus that scrapes a real parparchik with our configuration."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.cli.processes import DEADLINE_S
from tests.packaging.programs import PACKAGING, find
from tests.packaging.queries import RULES, dashboard_queries, rules


@pytest.fixture(scope="module")
def prometheus(served: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a Prometheus with our configuration, but that it scrapes every second."""
    program = find("prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    settings = yaml.safe_load((PACKAGING / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(RULES)]
    (job,) = settings["scrape_configs"]
    job["static_configs"] = [{"targets": [served]}]
    del settings["alerting"]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen(
        [
            program,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield _listening(process)
    finally:
        process.kill()
        process.communicate()


def _listening(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "Server is ready to receive web requests" in line:
            (address,) = re.findall(r'msg="Listening on" address=(\S+)', said)
            return str(address)
    pytest.fail(said)


def ask(prometheus: str, path: str, **parameters: str) -> Any:
    connection = HTTPConnection(prometheus, timeout=10)
    try:
        connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert answer["status"] == "success", answer
    return answer["data"]


def until(prometheus: str, path: str, **parameters: str) -> list[Any]:
    """The result, as soon as there is one."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        data = ask(prometheus, path, **parameters)
        found: list[Any] = data.get("result") or data.get("alerts") or []
        if found:
            return found
        time.sleep(0.2)
    return []


@pytest.mark.parametrize(("title", "query"), dashboard_queries())
def test_every_panel_shows_something(prometheus: str, title: str, query: str) -> None:
    assert until(prometheus, "query", query=query), title


def test_every_rule_can_be_evaluated(prometheus: str) -> None:
    assert until(prometheus, "query", query="ALERTS")
    (group,) = ask(prometheus, "rules")["groups"]
    assert {rule["name"]: rule["health"] for rule in group["rules"]} == {
        rule["alert"]: "ok" for rule in rules()
    }


def test_a_file_in_two_buckets_makes_an_alert_pend(prometheus: str) -> None:
    states = {alert["labels"]["alertname"]: alert["state"] for alert in until(prometheus, "alerts")}
    assert states["ParparchikDuplicateFiles"] == "pending"
