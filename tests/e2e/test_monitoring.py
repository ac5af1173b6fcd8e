"""A real Prometheus on the cluster: it finds the pods of the release, and reads the metrics of the CloudWatch agent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.aws.test_measures import AGENT, declarations
from tests.e2e.installation import Installation, installed
from tests.e2e.provider import ROOT, Provider
from tests.support.kubernetes import Kubectl
from tests.support.toolchain import built
from tests.support.waiting import wait_for

MANIFEST = ROOT / "k8s" / "monitoring" / "prometheus.yaml"
DOCKERFILE = Path(__file__).parent / "prometheus" / "Dockerfile"
NAMESPACE = "monitoring"
READY_SECONDS = 120
# Metrics with the label `provider` have no series before the first model call.
AT_REST = {"agents_llm_cost_usd_total"}


@pytest.fixture(scope="module")
def installation(cluster: Kubectl) -> Iterator[Installation]:
    with installed(cluster, "watched", {"monitoring": {"scrapeAnnotations": True}}) as one:
        yield one
        assert one.logged_errors() == []


@pytest.fixture(scope="module")
def prometheus(
    provider: Provider, cluster: Kubectl, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Applies the manifest with a shorter scrape interval, and adds the CloudWatch agent's job."""
    objects = list(yaml.safe_load_all(MANIFEST.read_text()))
    (workload,) = [body for body in objects if body["kind"] == "StatefulSet"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    context = tmp_path_factory.mktemp("image")
    shutil.copy(built("prometheus") / "prometheus", context)
    provider.image(container["image"], context, DOCKERFILE, "prometheus")

    (settings,) = [body for body in objects if body["kind"] == "ConfigMap"]
    configuration = yaml.safe_load(settings["data"]["prometheus.yml"])
    configuration["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s"}
    configuration["scrape_configs"].append(job_of_the_agent(installation.namespace))
    settings["data"]["prometheus.yml"] = yaml.safe_dump(configuration)
    try:
        cluster.apply(*objects)
        cluster.run("rollout", "status", "-n", NAMESPACE, "statefulset/prometheus", f"--timeout={READY_SECONDS}s")
        yield
    finally:
        cluster.run("delete", "-f", str(MANIFEST), "--ignore-not-found", "--wait=false")


def job_of_the_agent(namespace: str) -> dict[str, Any]:
    """Returns the job for this test's namespace, with the pod's service account instead of the server's kubeconfig."""
    (job,) = yaml.safe_load((AGENT / "prometheus.yaml").read_text())["scrape_configs"]
    (discovery,) = job["kubernetes_sd_configs"]
    del discovery["kubeconfig_file"]
    discovery["namespaces"]["names"] = [namespace]
    assert isinstance(job, dict)
    return job


def asked(installation: Installation, query: str) -> list[dict[str, Any]]:
    """Returns the series that Prometheus answers to the query."""
    service = f"/api/v1/namespaces/{NAMESPACE}/services/prometheus:http/proxy/api/v1/query"
    answer = installation.cluster.get(service, params={"query": query}).raise_for_status().json()
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def test_every_pod_of_the_release_is_one_target_that_answers(installation: Installation, prometheus: None) -> None:
    pods = {pod: component for component in ("api", "worker", "operator") for pod in installation.ready(component)}
    query = f'up{{job="pods", namespace="{installation.namespace}"}}'

    def seen() -> dict[str, tuple[str, str]]:
        series = asked(installation, query)
        assert len({found["metric"]["pod"] for found in series}) == len(series), "a pod is more than one target"
        return {found["metric"]["pod"]: (found["metric"]["component"], found["value"][1]) for found in series}

    wait_for(lambda: seen() == {pod: (component, "1") for pod, component in pods.items()}, what=f"{pods}, all up")
    names = {found["metric"]["__name__"] for found in asked(installation, '{job="pods", component="operator"}')}
    assert "agents_queue_depth" in names


def test_the_agents_job_keeps_what_it_declares_and_nothing_else(installation: Installation, prometheus: None) -> None:
    expected = [f"agents_{metric}" for metric in ("queue_depth", "queue_oldest_age_seconds", "worker_slots")]
    agent = '{job="agent-orchestrator", __name__=~"agents_.+"}'

    def kept() -> set[str]:
        return {found["metric"]["__name__"] for found in asked(installation, agent)}

    declared = {name for name, _ in declarations()}
    wait_for(lambda: kept() == declared - AT_REST, what=f"{sorted(declared - AT_REST)}; there are {sorted(kept())}")
    for name in expected:
        (found,) = asked(installation, f'{name}{{job="agent-orchestrator"}}')
        component = "worker" if name == "agents_worker_slots" else "operator"
        assert (found["metric"]["component"], found["metric"]["pod"]) == (component, installation.ready(component)[0])
    others = asked(installation, '{job="agent-orchestrator", __name__!~"agents_.+|up|scrape_.+"}')
    assert json.dumps(others) == "[]"
