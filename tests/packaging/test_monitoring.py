"""Prometheus' rules, Alertmanager's route and Grafana's dashboard, against our real /metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.packaging.conftest import ask
from tests.packaging.programs import PACKAGING, find, run
from tests.packaging.queries import (
    DASHBOARD,
    dashboard_queries,
    labels_used,
    panels,
    rules,
    series,
)

PROMETHEUS = PACKAGING / "prometheus"
ALERTMANAGER = PACKAGING / "alertmanager" / "alertmanager.yml"
QUERIES = [*dashboard_queries(), *((rule["alert"], rule["expr"]) for rule in rules())]


@pytest.fixture(scope="module")
def exposed(served: str) -> Mapping[str, Mapping[str, set[str]]]:
    """Every series in /metrics: the values that each of its labels has."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(ask(served, "/metrics")[1]):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_queries_ask_for_what_is_exposed(
    exposed: Mapping[str, Mapping[str, set[str]]], title: str, query: str
) -> None:
    known: set[str] = set()
    for name, matchers in series(query):
        assert name in exposed, f"{title}: {name} is not in /metrics"
        known |= exposed[name].keys()
        for label, operator, value in matchers:
            if label != "instance":
                assert label in exposed[name], f"{title}: {name} has no label {label}"
            if operator == "=":
                assert value in exposed[name][label], f"{title}: {label} is never {value}"
    assert labels_used(query) <= known, title


def test_legends_and_annotations_name_labels_that_are_there(
    exposed: Mapping[str, Mapping[str, set[str]]],
) -> None:
    texts = {target["expr"]: target["legendFormat"] for p in panels() for target in p["targets"]}
    texts |= {rule["expr"]: json.dumps(rule["annotations"]) for rule in rules()}
    for query, text in texts.items():
        whole = {label for name, _ in series(query) for label in exposed[name]}
        left = labels_used(query) if "by (" in query else whole
        assert labels_used(text) <= left, (query, text)


def test_the_dashboard_shows_the_duplicate_files() -> None:
    assert [p["title"] for p in panels() if "parparchik_duplicate_files" in json.dumps(p)]


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    identifiers = [panel["id"] for panel in panels()]
    assert len(set(identifiers)) == len(identifiers)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {p["datasource"]["uid"] for p in panels()} == {"${datasource}"}
    assert variables == {"datasource", "instance"}
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels())
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert max(x for x, _ in cells) < 24
    assert len(set(cells)) == len(cells), "panels overlap"


def test_the_duplicate_files_alert_is_the_one_that_users_know() -> None:
    (rule,) = [rule for rule in rules() if rule["alert"] == "ParparchikDuplicateFiles"]
    assert rule["expr"] == "parparchik_duplicate_files > 0"
    assert rule["for"] == "5m"
    assert rule["labels"] == {"severity": "warning"}


def test_every_alert_has_a_unit_test() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in rules()}


def test_promtool_accepts_the_configuration() -> None:
    said = run(find("promtool"), "check", "config", PROMETHEUS / "prometheus.yml")
    assert f"{len(rules())} rules found" in said


def test_promtool_finds_that_the_rules_alert_when_they_should() -> None:
    run(find("promtool"), "test", "rules", PROMETHEUS / "rules_test.yml")


def test_amtool_accepts_the_configuration() -> None:
    run(find("amtool"), "check-config", ALERTMANAGER)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_finds_its_receiver(rule: Mapping[str, object]) -> None:
    severity = dict(rule["labels"])["severity"] if isinstance(rule["labels"], dict) else ""
    labels = (f"alertname={rule['alert']}", f"severity={severity}", "instance=a")
    command = (find("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}")
    duplicates = rule["alert"] == "ParparchikDuplicateFiles"
    receiver = "content-owners" if duplicates else "operators"
    run(*command, f"--verify.receivers={receiver}", *labels)
