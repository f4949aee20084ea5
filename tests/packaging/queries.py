"""The PromQL that we hand out: of the dashboard and of the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.packaging.programs import PACKAGING

DASHBOARD = PACKAGING / "grafana" / "parparchik.json"
RULES = PACKAGING / "prometheus" / "rules.yml"

# What Prometheus adds to every series, and to those of a histogram.
_ADDED = frozenset({"instance", "job", "le"})


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def dashboard_queries() -> list[tuple[str, str]]:
    """(panel's title, query) with Grafana's variables filled in."""
    return [
        (
            panel["title"],
            target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*"),
        )
        for panel in panels()
        for target in panel["targets"]
    ]


def series(query: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each series selector of ours: (metric, [(label, operator, value)])."""
    for name, matchers in re.findall(r"(parparchik_\w+)(?:\{([^}]*)\})?", query):
        yield name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)


def labels_used(text: str) -> set[str]:
    """Labels that a legend, an annotation or an aggregation names, but those that are added."""
    named = re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text)
    grouped = re.findall(r"by \(([^)]*)\)", text)
    return {*named, *(word.strip() for group in grouped for word in group.split(","))} - _ADDED
