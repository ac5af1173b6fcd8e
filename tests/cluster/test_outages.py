"""A Kubernetes API that is unavailable, restarted or frozen, and an operator with a wrong configuration."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cluster.control_plane import ControlPlane, kubeconfig_for
from tests.cluster.operators import build_operator, grant, running
from tests.support.child_process import ended
from tests.support.kubernetes import agent_task, create, read, status_of
from tests.support.stack import Part, Stack, stopped
from tests.support.waiting import wait_for

RECOVERY_SECONDS = 15


def completes(plane: ControlPlane, namespace: str, name: str, *, seconds: float) -> None:
    create(plane, namespace, agent_task(name))
    wait_for(lambda: is_done(plane, namespace, name), seconds=seconds, what=f"{name}'s end")


def is_done(plane: ControlPlane, namespace: str, name: str) -> bool:
    """Returns True if the AgentTask is completed without a finalizer, which would block the deletion of the CRD."""
    body = read(plane, namespace, name)
    return body.get("status", {}).get("phase") == "Completed" and "finalizers" not in body["metadata"]


@pytest.mark.parametrize("outage_seconds", [2, 80])
def test_the_operator_waits_for_an_unavailable_api_server(
    control_plane: ControlPlane, namespace: str, operator: Part, outage_seconds: float
) -> None:
    completes(control_plane, namespace, "before", seconds=30)
    server = control_plane.servers["apiserver"]
    server.stop()
    try:
        time.sleep(outage_seconds)  # the duration of the outage
        assert operator.ready
    finally:
        server.start()

    completes(control_plane, namespace, "after", seconds=RECOVERY_SECONDS)


def test_the_operator_waits_for_a_frozen_api_server(
    control_plane: ControlPlane, namespace: str, operator: Part
) -> None:
    server = control_plane.servers["apiserver"]
    server.send_signal(signal.SIGSTOP)
    try:
        time.sleep(20)  # the duration of the outage
        assert operator.ready
    finally:
        server.send_signal(signal.SIGCONT)

    completes(control_plane, namespace, "after", seconds=RECOVERY_SECONDS)


def test_the_operator_starts_while_the_rest_api_is_unavailable(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    operator = build_operator(control_plane, stack, namespace, tmp_path)
    try:
        with stopped(stack.parts["api"]):
            operator.start()
            create(control_plane, namespace, agent_task("early"))
            wait_for(lambda: status_of(control_plane, namespace, "early").get("phase") == "Pending", what="Pending")
        wait_for(lambda: is_done(control_plane, namespace, "early"), what="its end")
    finally:
        operator.stop()


def exits_with(part: Part, words: str) -> bool:
    """Starts the process, expects it to exit with 2, and returns True if its log contains these words."""
    part.launch()
    assert part.process is not None
    with ended(part.process) as process:
        assert process.wait(timeout=30) == 2
    return words in part.log.read_text()


def test_a_missing_right_ends_the_operator_with_advice(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    settings = {"AGENT_OPERATOR_NAMESPACES": "default"}

    part = build_operator(control_plane, stack, namespace, tmp_path, settings=settings)

    assert exits_with(part, "This account may not list AgentTasks")


def test_a_namespace_that_is_gone_stops_the_work_for_no_other(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    settings = {"AGENT_OPERATOR_NAMESPACES": f"{namespace},a-namespace-that-is-gone"}
    with running(build_operator(control_plane, stack, namespace, tmp_path, settings=settings)) as part:
        completes(control_plane, namespace, "here", seconds=30)
        refused = [line for line in part.log_lines() if line["message"] == "namespace_not_served"]
    assert [line["namespace"] for line in refused] == ["a-namespace-that-is-gone"]


def test_a_missing_crd_ends_the_operator_with_advice(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    control_plane.run("delete", "crd", "agenttasks.agentorchestrator.dev")
    try:
        part = build_operator(control_plane, stack, namespace, tmp_path)
        assert exits_with(part, "The CRD of AgentTask is not installed")
    finally:
        control_plane.install_crd()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AGENT_OPERATOR_API_URL", "localhost", "AGENT_OPERATOR_API_URL"),
        ("KUBECONFIG", "/nowhere", "KUBECONFIG: the credentials cannot be used"),
    ],
)
def test_a_wrong_setting_ends_the_operator_with_its_name(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path, name: str, value: str, words: str
) -> None:
    grant(control_plane, namespace)

    assert exits_with(build_operator(control_plane, stack, namespace, tmp_path, settings={name: value}), words)


def test_an_impossible_policy_of_the_autoscaler_does_not_stop_agenttasks(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    settings = {
        "AGENT_OPERATOR_WORKER_DEPLOYMENT": f"{namespace}/worker",
        "AGENT_AUTOSCALER_POLICY": "min_replicas=5 max_replicas=2",
    }
    with running(build_operator(control_plane, stack, namespace, tmp_path, settings=settings)) as part:
        completes(control_plane, namespace, "here", seconds=30)
        report = httpx.get(part.probe).json()

    assert report["status"] == "ok"
    assert "max_replicas must not be less than min_replicas" in report["problems"][0]


def test_a_kubeconfig_with_a_program_for_its_credentials_is_refused(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    config = kubeconfig_for(control_plane.url, "none")
    config["users"] = [{"name": "user", "user": {"exec": {"command": "aws", "apiVersion": "v1"}}}]
    path = tmp_path / "exec.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    part = build_operator(control_plane, stack, namespace, tmp_path, settings={"KUBECONFIG": str(path)})

    assert exits_with(part, "KUBECONFIG: the user user gets its credentials from the program `aws`")
