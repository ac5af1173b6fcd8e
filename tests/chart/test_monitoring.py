"""The configuration in k8s/monitoring and of the CloudWatch agent: checked by promtool, and compared with our pods."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, STORES, over, render
from tests.support.toolchain import built

K8S = CHART.parents[1] / "k8s"
PLAIN = K8S / "monitoring" / "prometheus.yaml"
STACK = K8S / "monitoring" / "kube-prometheus-stack.yaml"
AGENT = K8S / "k3s" / "cloudwatch-agent" / "prometheus.yaml"


def objects(path: Path) -> dict[str, Any]:
    return {body["kind"]: body for body in yaml.safe_load_all(path.read_text())}


def promtool(configuration: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "prometheus.yml"
    path.write_text(configuration)
    return subprocess.run(  # noqa: S603  promtool, on a file of this test
        [str(built("prometheus") / "promtool"), "check", "config", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "configuration", [objects(PLAIN)["ConfigMap"]["data"]["prometheus.yml"], AGENT.read_text()], ids=["plain", "agent"]
)
def test_prometheus_reads_the_configuration(configuration: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}")
    done = promtool(configuration.replace("/etc/rancher/k3s/k3s.yaml", str(kubeconfig)), tmp_path)
    assert done.returncode == 0, done.stderr
    wrong = promtool(configuration.replace("action: keep", "action: kept"), tmp_path)
    assert wrong.returncode == 1
    assert "kept" in wrong.stderr


def test_the_prometheus_operator_finds_the_monitors_of_every_release() -> None:
    chart = objects(STACK)["HelmChart"]["spec"]
    assert chart["failurePolicy"] == "abort", "a failed upgrade must not uninstall the Prometheus that holds the data"
    assert chart["targetNamespace"] == objects(STACK)["Namespace"]["metadata"]["name"]
    found = yaml.safe_load(chart["valuesContent"])["prometheus"]["prometheusSpec"]
    nil = {name: value for name, value in found.items() if name.endswith("SelectorNilUsesHelmValues")}
    assert nil == dict.fromkeys(nil, False)
    assert {"serviceMonitorSelectorNilUsesHelmValues", "podMonitorSelectorNilUsesHelmValues"} <= nil.keys()


def test_the_chart_accepts_the_example_of_a_servers_values() -> None:
    values = over(STORES, yaml.safe_load((K8S / "k3s" / "values.yaml").read_text()))
    made = render("agent-orchestrator", values=values)
    (ingress,) = [body for body in made if body["kind"] == "Ingress"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"] for rule in ingress["spec"]["rules"]]
    annotated = {
        body["metadata"]["labels"]["app.kubernetes.io/component"]
        for body in made
        if body["kind"] == "Deployment"
        and body["spec"]["template"]["metadata"]["annotations"].get("prometheus.io/scrape") == "true"
    }
    assert annotated == {"api", "worker", "operator"}


def test_network_policies_let_prometheus_in() -> None:
    values = over(STORES, yaml.safe_load((K8S / "k3s" / "values.yaml").read_text()))
    policies = {
        body["metadata"]["name"]: body["spec"]
        for body in render("agent-orchestrator", values=values)
        if body["kind"] == "NetworkPolicy"
    }
    monitoring = objects(PLAIN)["Namespace"]["metadata"]["name"]
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": monitoring}}}
    for component in ("api", "worker", "operator"):
        assert peer in policies[f"ao-agent-orchestrator-{component}"]["ingress"][0]["from"]
