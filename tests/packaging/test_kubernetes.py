"""The Kubernetes and Argo CD examples: that their parts name each other and our endpoints."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from parparchik.config.load import load
from parparchik.server.serve import FLUSH_AT_LEAST_S
from tests.packaging.programs import PACKAGING

FOLDER = PACKAGING / "kubernetes"


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifest("deployment")["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_no_service_link_can_take_the_name_of_our_port_setting(pod: dict[str, Any]) -> None:
    # With links, a Service of this name injects PARPARCHIK_PORT=tcp://10.0.0.1:80.
    assert manifest("service")["metadata"]["name"] == "parparchik"
    assert pod["spec"]["enableServiceLinks"] is False


def test_every_selector_finds_the_pods(pod: dict[str, Any]) -> None:
    labels = pod["metadata"]["labels"]
    assert manifest("service")["spec"]["selector"] == labels
    for name in ("deployment", "poddisruptionbudget"):
        assert manifest(name)["spec"]["selector"]["matchLabels"] == labels


def test_probes_ask_the_endpoints_that_they_should(container: dict[str, Any]) -> None:
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in _PROBES}
    assert paths == _PROBES


_PROBES = {"startup": "/healthcheck", "liveness": "/healthcheck", "readiness": "/readiness"}


def test_ports_meet(pod: dict[str, Any], container: dict[str, Any]) -> None:
    (port,) = container["ports"]
    assert port["containerPort"] == load(manifest("configmap")["data"]).config.server.port
    assert manifest("service")["spec"]["ports"][0]["targetPort"] == port["name"]
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in _PROBES} == {port["name"]}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])


def test_the_pod_may_take_as_long_to_end_as_a_shutdown_does(pod: dict[str, Any]) -> None:
    server = load(manifest("configmap")["data"]).config.server
    longest_s = server.shutdown_delay_s + server.shutdown_grace_s + FLUSH_AT_LEAST_S
    assert pod["spec"]["terminationGracePeriodSeconds"] >= longest_s


def test_the_pod_takes_connections_until_it_is_seen_to_be_unready(
    container: dict[str, Any],
) -> None:
    probe = container["readinessProbe"]
    seen_s = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert seen_s < load(manifest("configmap")["data"]).config.server.shutdown_delay_s


def test_settings_are_strings_that_load(container: dict[str, Any]) -> None:
    config = manifest("configmap")
    assert {type(value) for value in config["data"].values()} == {str}
    assert {"configMapRef": {"name": config["metadata"]["name"]}} in container["envFrom"]
    assert not load(config["data"]).config.auth.api_keys, "secrets belong into the Secret"


def test_the_container_can_do_no_more_than_it_needs(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_argo_cd_is_led_to_the_manifests() -> None:
    application = yaml.safe_load((PACKAGING / "argocd" / "application.yaml").read_text())
    assert application["spec"]["source"]["path"] == f"packaging/{FOLDER.name}"
    assert {path.suffix for path in FOLDER.iterdir()} == {".yaml"}
