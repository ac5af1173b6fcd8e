"""Workers are added with the load and removed without interrupting a task: real pods under a constant load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chart.rendering import NAME
from tests.e2e.installation import Installation, installed, interruptions, is_ready
from tests.e2e.load import TEXT, load
from tests.support.kubernetes import Kubectl
from tests.support.waiting import wait_for

FLOOD = 600
POLICY = {
    "min_replicas": 0,
    "max_replicas": 4,
    "drain_target_seconds": 5,
    "arrival_headroom": 1,
    "up_period_seconds": 1,
    "down_window_seconds": 4,
    "down_share": 1,
    "down_pods": 4,
}


@pytest.fixture(scope="module")
def installation(cluster: Kubectl) -> Iterator[Installation]:
    values = {
        "worker": {"concurrency": 4, "autoscaling": {"policy": POLICY}},
        "dev": {"simulator": {"latencyMs": 500}},
    }
    with installed(cluster, "scaling", values) as one:
        yield one
        assert one.logged_errors() == []


def changes(installation: Installation, *reasons: str) -> list[dict[str, Any]]:
    """Returns the events of the workers' Deployment with one of these reasons."""
    events = installation.kubectl.get("events", "-n", installation.namespace)["items"]
    of_workers = [event for event in events if event["involvedObject"]["name"] == f"{NAME}-worker"]
    return [event for event in of_workers if event["reason"] in reasons]


def test_from_zero_up_and_down_by_drain_under_constant_load(installation: Installation) -> None:
    wait_for(lambda: installation.replicas() == 0, seconds=120, what="no workers while there is nothing to do")
    wait_for(lambda: not installation.pods("worker"), seconds=30, what="the end of their pods")

    with load(installation, "steady", pace=10) as steady:
        wait_for(lambda: installation.replicas() >= 1, seconds=30, what="a first worker")
        wait_for(lambda: len(installation.ready("worker")) >= 3, seconds=90, what="three workers")
        steady.pace = 1
        wait_for(lambda: len(installation.pods("worker")) == 1, seconds=180, what="one worker left")

    assert interruptions(installation.reckon(steady.created)) == []
    assert any(decision["draining"] for decision in installation.decisions())
    assert installation.restarts() == {}
    scaled = changes(installation, "ScaledUp", "ScaledDown")
    assert {event["reason"] for event in scaled} == {"ScaledUp", "ScaledDown"}
    for event in scaled:
        found = re.match(r"From (\d+) to (\d+) workers\. \S.{20,}", event["message"])
        assert found is not None, event["message"]
        assert (int(found[2]) > int(found[1])) == (event["reason"] == "ScaledUp")


def test_an_operator_that_is_deleted_in_the_middle_of_a_scale_down_leaves_nothing_behind(
    installation: Installation,
) -> None:
    def draining() -> list[str]:
        return [worker["name"] for worker in installation.workers() if worker["draining"]]

    def marked() -> list[str]:
        pods = installation.pods("worker")
        return [pod["metadata"]["name"] for pod in pods if "pod-deletion-cost" in str(pod["metadata"])]

    with load(installation, "orphaned", pace=10) as steady:
        wait_for(lambda: len(installation.ready("worker")) >= 3, seconds=90, what="three workers")
        steady.pace = 1
        wait_for(lambda: bool(draining()), seconds=60, what="a drain")
        (operator,) = installation.ready("operator")
        installation.kubectl.run("delete", "pod", operator, "-n", installation.namespace, "--grace-period=0", "--force")
        wait_for(lambda: installation.ready("operator") not in ([], [operator]), seconds=60, what="another operator")
        wait_for(lambda: len(installation.pods("worker")) <= 2, seconds=120, what="the end of the scale-down")
        # The drains of the deleted operator expire, or its successor continues them.
        wait_for(lambda: not draining() and not marked(), seconds=120, what="nothing half-done")

    assert interruptions(installation.reckon(steady.created)) == []


def test_an_operator_with_its_usual_memory_processes_a_flood_of_tasks(installation: Installation) -> None:
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = [f"flood-{number}" for number in range(FLOOD)]
    for number, name in enumerate(names):
        installation.create(name, TEXT.format(number=number))
    tasks = installation.reckon(names, seconds=240)
    assert interruptions(tasks) == []
    assert [event for event in changes(installation, "ScaledUp") if event["firstTimestamp"] >= began]

    (operator,) = installation.pods("operator")
    assert is_ready(operator)
    assert installation.restarts() == {}
    assert operator["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi"
