"""Existing Secrets and an HPA, and the messages of pods with missing keys or stores."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.chart.rendering import NAME, over
from tests.e2e.installation import VALUES, install, namespace_for, opened, revisions
from tests.e2e.load import TEXT
from tests.support.kubernetes import Kubectl
from tests.support.waiting import wait_for

MONGO_URI = f"mongodb://{NAME}-mongodb:27017/?directConnection=true"
REDIS_URL = f"redis://{NAME}-valkey:6379/0"
# The maximum is two and not one: an HPA that is deleted after the change of the Deployment may still scale it down to
# this maximum.
EXISTING = {
    "secrets": {"mode": "existing", "existing": {"stores": "stores", "providers": "models"}},
    "worker": {"autoscaling": {"mode": "hpa", "hpa": {"minReplicas": 1, "maxReplicas": 2}}},
}
READY_SECONDS = 120
TRIES = 3


def secret(kubectl: Kubectl, namespace: str, name: str, values: dict[str, str]) -> None:
    kubectl.run("delete", "secret", name, "-n", namespace, "--ignore-not-found")
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}
    kubectl.apply(body)


def pod(kubectl: Kubectl, namespace: str, component: str) -> dict[str, Any]:
    labels = f"app.kubernetes.io/component={component}"
    (found,) = kubectl.get("pods", "-n", namespace, "-l", labels)["items"]
    body: dict[str, Any] = found
    return body


def waiting_message(kubectl: Kubectl, namespace: str, component: str) -> str:
    (status,) = pod(kubectl, namespace, component)["status"].get("containerStatuses") or [{}]
    return str(status.get("state", {}).get("waiting", {}).get("message", ""))


@pytest.fixture(scope="module")
def namespace(cluster: Kubectl) -> Iterator[str]:
    with namespace_for(cluster, "modes") as one:
        yield one


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return over(VALUES, EXISTING)


def test_a_missing_key_of_a_secret_is_named_by_the_pods(
    cluster: Kubectl, namespace: str, values: dict[str, Any]
) -> None:
    secret(cluster, namespace, "stores", {"MONGO_URI": MONGO_URI})
    secret(cluster, namespace, "models", {"OPENAI_API_KEY": "sk-1"})
    with pytest.raises(AssertionError, match=r"(?s)helm install: .*(deadline exceeded|not ready|timed out)"):
        install(cluster, namespace, values, "--timeout=15s")
    message = "couldn't find key REDIS_URL"
    wait_for(lambda: message in waiting_message(cluster, namespace, "api"), what="a message that names the key")
    wait_for(lambda: message in waiting_message(cluster, namespace, "worker"), what="a message that names the key")


def test_unreachable_stores_leave_pods_unready_and_are_logged(cluster: Kubectl, namespace: str) -> None:
    nowhere = {"MONGO_URI": f"mongodb://{NAME}-mongodb:1/?directConnection=true", "REDIS_URL": REDIS_URL}
    secret(cluster, namespace, "stores", nowhere)

    def log_lines(component: str) -> list[dict[str, Any]]:
        name = pod(cluster, namespace, component)["metadata"]["name"]
        lines = cluster.run("logs", name, "-n", namespace, check=False).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def logged_again_and_again(component: str) -> bool:
        return len([line for line in log_lines(component) if line.get("error_code") == "STORE_UNAVAILABLE"]) >= TRIES

    for component in ("api", "worker"):
        what = f"log lines of {component} about the store"
        wait_for(partial(logged_again_and_again, component), seconds=READY_SECONDS, what=what)
        (status,) = pod(cluster, namespace, component)["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (False, 0)


def test_existing_secrets_are_used(cluster: Kubectl, namespace: str, values: dict[str, Any]) -> None:
    secret(cluster, namespace, "stores", {"MONGO_URI": MONGO_URI, "REDIS_URL": REDIS_URL})
    cluster.run("delete", "pods", "--all", "-n", namespace)
    wait_for(
        lambda: all(
            status["ready"]
            for component in ("api", "worker", "operator")
            for status in pod(cluster, namespace, component)["status"].get("containerStatuses") or [{"ready": False}]
        ),
        seconds=READY_SECONDS,
        what="everything ready",
    )
    with opened(cluster, namespace, values) as installation:
        installation.upgrade({})
        assert revisions(installation)[-1]["status"] == "deployed"
        installation.create("existing", TEXT.format(number=1))
        installation.reckon(["existing"])
        assert "is completed by" in installation.helm("test", "--logs")
        scaler = cluster.get(f"hpa/{NAME}-worker", "-n", namespace)
        assert scaler["spec"]["scaleTargetRef"]["name"] == f"{NAME}-worker"
        assert installation.decisions() == [], "the operator leaves the workers alone"


def test_workers_are_scaled_by_hand_and_by_the_operator_again(
    cluster: Kubectl, namespace: str, values: dict[str, Any]
) -> None:
    with opened(cluster, namespace, values) as installation:
        by_hand = {"worker": {"replicas": 2, "autoscaling": {"mode": "none"}}}
        installation.upgrade(by_hand, "--force-conflicts")
        assert (installation.replicas(), len(installation.ready("worker"))) == (2, 2)
        assert cluster.get("hpa", "-n", namespace)["items"] == []
        assert installation.decisions() == []

        installation.upgrade({"worker": {"autoscaling": {"mode": "operator"}}})
        wait_for(lambda: installation.decisions() != [], what="a decision of the operator")
