"""The end of a release while tasks are under way: it ends in time, and a second installation goes on with its tasks.

The stores and the simulator are not part of the release here, because tasks live in the stores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import NAME, over, render
from tests.e2e.installation import VALUES, Installation, install, interruptions, namespace_for, opened
from tests.e2e.load import TEXT
from tests.support.kubernetes import Kubectl, read
from tests.support.waiting import wait_for

OUTSIDE = ("valkey", "mongodb", "simulator")
DEADLINE_SECONDS = 120
SLOW = {"fault": "slow-20000"}  # of two model calls: a worker has the time of the deadline to finish its task
UNINSTALL_SECONDS = 240
TASKS = ("kept-1", "kept-2", "kept-3")


def is_outside(body: dict[str, Any]) -> bool:
    return body["metadata"]["labels"].get("app.kubernetes.io/component") in OUTSIDE


@pytest.fixture(scope="module")
def namespace(cluster: Kubectl) -> Iterator[str]:
    """Creates a namespace with stores and a simulator that Helm does not own, under the names of the chart's own."""
    with namespace_for(cluster, "uninstall") as one:
        templates = ("dev/deployments.yaml", "dev/services.yaml", "networkpolicies.yaml")
        objects = [body for body in render(one, *templates, values=VALUES) if is_outside(body)]
        cluster.apply(*({**body, "metadata": {**body["metadata"], "namespace": one}} for body in objects))
        cluster.run("wait", "--for=condition=Available", "deployments", "--all", "-n", one, "--timeout=120s")
        yield one


@pytest.fixture(scope="module")
def values(namespace: str) -> dict[str, Any]:
    """Returns the values of a release that uses these stores, and the simulator as the chart's own workers do."""
    (worker,) = render(namespace, "worker/deployment.yaml", values=VALUES)
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    models = {name: value for name, value in variables.items() if name.endswith(("_MODEL", "_BASE_URL"))}
    providers = dict.fromkeys(("OPENAI_API_KEY", "TAVILY_API_KEY"), "simulated")
    stores = {
        "MONGO_URI": f"mongodb://{NAME}-mongodb:27017/?directConnection=true",
        "REDIS_URL": f"redis://{NAME}-valkey:6379/0",
    }
    own = {
        "dev": {name: {"enabled": False} for name in OUTSIDE},
        "secrets": {"inline": {"stores": stores, "providers": providers}},
        "worker": {"env": models, "autoscaling": {"mode": "none"}},
        "tasks": {"deadlineSeconds": DEADLINE_SECONDS},
    }
    return over(VALUES, own)


def begin(installation: Installation) -> None:
    """Creates AgentTasks, and waits until a worker runs all of them."""
    installation.simulator.post("/simulator/faults", json=SLOW).raise_for_status()
    for number, name in enumerate(TASKS):
        installation.create(name, TEXT.format(number=number))
    wait_for(lambda: set(installation.phases(TASKS).values()) == {"Processing"}, seconds=60, what="tasks under way")


def test_an_uninstall_with_tasks_under_way_ends_in_time_and_frees_their_objects(
    cluster: Kubectl, namespace: str, values: dict[str, Any]
) -> None:
    install(cluster, namespace, values)
    with opened(cluster, namespace, VALUES) as installation:
        begin(installation)
        assert all("finalizers" in read(cluster, namespace, name)["metadata"] for name in TASKS)

        began = time.monotonic()
        installation.helm("uninstall", "--wait", f"--timeout={UNINSTALL_SECONDS}s")

        assert time.monotonic() - began < UNINSTALL_SECONDS
        assert set(installation.phases(TASKS).values()) == {"Processing"}, "no task was cancelled"
        assert not any("finalizers" in read(cluster, namespace, name)["metadata"] for name in TASKS)
        hooks = cluster.get("jobs,roles,rolebindings", "-n", namespace)["items"]
        assert [body["metadata"]["name"] for body in hooks if body["metadata"]["name"].startswith(NAME)] == []


def test_a_second_installation_shows_the_ends_of_the_tasks(
    cluster: Kubectl, namespace: str, values: dict[str, Any]
) -> None:
    install(cluster, namespace, values)
    with opened(cluster, namespace, VALUES) as installation:
        installation.simulator.delete("/simulator/faults").raise_for_status()
        tasks = installation.reckon(TASKS)
        assert interruptions(tasks) == [], "the worker finished them after it was asked to stop"
        assert {task["status"] for task in tasks} == {"completed"}


def test_an_object_can_be_deleted_after_the_uninstall(cluster: Kubectl, namespace: str, values: dict[str, Any]) -> None:
    with opened(cluster, namespace, VALUES) as installation:
        installation.simulator.post("/simulator/faults", json=SLOW).raise_for_status()
        installation.create("left", TEXT.format(number=1))
        wait_for(lambda: installation.phases(["left"]) == {"left": "Processing"}, seconds=60, what="a task under way")
        installation.helm("uninstall", "--wait", f"--timeout={UNINSTALL_SECONDS}s")

    cluster.run("delete", "agenttask/left", "-n", namespace, "--timeout=30s")
