"""The autoscaler on a real API server, with real workers as pods: it scales without interrupting a task."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.lab import script
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import build_operator, grant, running
from tests.cluster.podlet import (
    WORKER,
    Podlet,
    add_node,
    replicas,
    running_podlet,
    sit_through,
    worker_deployment,
)
from tests.support.stack import Part, Plan, Stack, running_stack
from tests.support.waiting import wait_for

QUICK = "min_replicas=0 max_replicas=4 down_window_seconds=2 up_period_seconds=1 down_pods=4 arrival_headroom=1"
CODE = "Write a Python function that adds {number} to a number."
READS = r'verb="(GET|LIST)"'
IDLE_SECONDS = 30


@pytest.fixture(scope="module")
def node(control_plane: ControlPlane) -> None:
    add_node(control_plane)


@pytest.fixture
def stack() -> Iterator[Stack]:
    with running_stack(Plan(workers=0, settings={"AGENT_EXPECTED_SERVICE_SECONDS": "1"})) as running_one:
        yield running_one


@pytest.fixture
def operator(control_plane: ControlPlane, node: None, stack: Stack, namespace: str, tmp_path: Path) -> Part:
    """Builds the operator but does not start it: its Deployment must exist first."""
    grant(control_plane, namespace)
    settings = {"AGENT_OPERATOR_WORKER_DEPLOYMENT": f"{namespace}/{WORKER}", "AGENT_AUTOSCALER_POLICY": QUICK}
    return build_operator(control_plane, stack, namespace, tmp_path, settings=settings)


@pytest.fixture
def podlet(control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path) -> Iterator[Podlet]:
    with running_podlet(control_plane, stack, namespace, tmp_path) as one:
        yield one


def deploy(plane: ControlPlane, namespace: str, count: int, **annotations: str) -> None:
    plane.run("create", "-n", namespace, "-f", "-", stdin=json.dumps(worker_deployment(count, 4, **annotations)))


def decisions(stack: Stack) -> list[dict[str, object]]:
    found: list[dict[str, object]] = stack.client.get("/v1/system/autoscaler").json()["decisions"]
    return found


def busy_workers(stack: Stack) -> list[str]:
    workers = stack.client.get("/v1/system/metrics").json()["workers"]
    return [worker["name"] for worker in workers if worker["running"]]


def marks(plane: ControlPlane, namespace: str) -> list[bool]:
    """Returns for each pod whether it has a deletion cost that marks it as cheap to delete."""
    pods = plane.get("pods", "-n", namespace)["items"]
    return ["pod-deletion-cost" in str(pod["metadata"].get("annotations")) for pod in pods]


def test_from_zero_up_and_back_to_zero(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, podlet: Podlet
) -> None:
    deploy(control_plane, namespace, 0)
    with running(operator):
        tasks = [stack.submit(CODE.format(number=number))["task_id"] for number in range(12)]

        wait_for(lambda: replicas(control_plane, namespace) > 0, seconds=15, what="a first worker")
        assert {stack.wait(task)["status"] for task in tasks} == {"completed"}
        # Arrivals count for a minute; until then, the policy keeps one worker for the next arrival.
        wait_for(lambda: replicas(control_plane, namespace) == 0, seconds=120, what="the end of the workers")

        def events() -> str:
            return control_plane.run("get", "events", "-n", namespace).stdout

        wait_for(lambda: all(word in events() for word in ("ScaledUp", "ScaledDown")), what="both events")

    assert {task["attempts"] for task in map(stack.get, tasks)} == {1}
    reasons = {str(entry["reason"]) for entry in decisions(stack)}
    assert reasons & {"backlog", "arrivals"}, "the first decision may see one task, or twelve"
    assert "fewer_suffice" in reasons


def test_a_busy_worker_is_not_removed(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, podlet: Podlet
) -> None:
    deploy(control_plane, namespace, 3, min_replicas="1")
    wait_for(lambda: len(podlet.ready) == 3, seconds=60, what="three workers")
    with script(stack, {"fault": "slow-20000"}):
        task = stack.submit(CODE.format(number=1))["task_id"]
        wait_for(lambda: len(busy_workers(stack)) == 1, what="a worker that runs it")
        (busy,) = busy_workers(stack)
        with running(operator):
            wait_for(lambda: replicas(control_plane, namespace) == 1, seconds=60, what="one worker left")
            wait_for(lambda: podlet.ready == {busy}, seconds=30, what="only the busy worker")

    assert stack.wait(task)["attempts"] == 1
    assert set(podlet.ended.values()) == {0}


def test_nothing_changes_if_another_scaler_exists(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    deploy(control_plane, namespace, 0)
    control_plane.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "other", "namespace": namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKER},
                "maxReplicas": 3,
            },
        }
    )
    with running(operator):
        stack.submit(CODE.format(number=1))
        wait_for(lambda: bool(decisions(stack)), what="a decision")
        sit_through(2)

        assert replicas(control_plane, namespace) == 0
        assert {entry["reason"] for entry in decisions(stack)} == {"other_scaler"}
        assert "HorizontalPodAutoscaler other" in str(decisions(stack)[0]["explanation"])


def test_an_operator_killed_in_the_middle_of_a_drain_leaves_nothing_behind(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, podlet: Podlet
) -> None:
    deploy(control_plane, namespace, 2, min_replicas="1")
    wait_for(lambda: len(podlet.ready) == 2, seconds=60, what="two workers")
    with running(operator):
        wait_for(lambda: any(int(str(entry["draining"])) for entry in decisions(stack)), seconds=30, what="a drain")
        operator.stop(signal.SIGKILL)

    with running(operator):
        wait_for(lambda: replicas(control_plane, namespace) == 1, seconds=60, what="one worker left")
        wait_for(lambda: marks(control_plane, namespace) == [False], seconds=30, what="one pod left, without a mark")

    assert stack.wait(stack.submit(CODE.format(number=1))["task_id"])["status"] == "completed"


def requests(plane: ControlPlane, *resources: str) -> float:
    """Returns the reads of these resources that the API server has answered so far; a watch counts when it ends."""
    lines = plane.run("get", "--raw", "/metrics").stdout.splitlines()
    found = [line for line in lines if line.startswith("apiserver_request_total{") and re.search(READS, line)]
    return sum(
        float(line.rpartition(" ")[2]) for line in found if any(f'resource="{name}"' in line for name in resources)
    )


def rises(plane: ControlPlane) -> bool:
    """Checks whether pods or Deployments are read within two seconds."""
    before = requests(plane, "pods", "deployments")
    sit_through(2)
    return requests(plane, "pods", "deployments") > before


def test_an_idle_autoscaler_hardly_reads_from_the_api_server(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    """Without the watches there would be two reads each second."""
    deploy(control_plane, namespace, 0)
    with running(operator):
        wait_for(lambda: len(decisions(stack)) > 0, what="a first decision")
        wait_for(lambda: not rises(control_plane), seconds=60, what="an idle operator")
        before = requests(control_plane, "pods", "deployments")
        sit_through(IDLE_SECONDS)
        count = requests(control_plane, "pods", "deployments") - before

        assert count < IDLE_SECONDS / 3, f"{count} reads in {IDLE_SECONDS} s"
        control_plane.run("scale", f"deployment/{WORKER}", "-n", namespace, "--replicas=2")
        wait_for(lambda: any(entry["replicas"] == 2 for entry in decisions(stack)), what="a decision about two")
