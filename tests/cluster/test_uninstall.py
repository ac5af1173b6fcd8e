"""The end of an operator while tasks are under way: nothing that is being deleted waits for it for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_operator.agenttasks.register import FINALIZER
from tests.chaos.lab import script
from tests.chart.rendering import STORES, over, render
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import ACCOUNT, build_operator, grant, running
from tests.support.kubernetes import agent_task, create, read, status_of
from tests.support.stack import Part, Stack
from tests.support.waiting import wait_for

SLOW = {"fault": "slow-30000"}
NEVER_PLACED = {"operator": {"nodeSelector": {"node": "none"}}}  # without a kubelet, a placed pod would never end
FINALIZER_OFF = {"AGENT_OPERATOR_FINALIZER": "false"}


@pytest.fixture
def team(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """Creates a second namespace, in which the operator of `namespace` has its rights."""
    name = f"{namespace}-team"
    control_plane.run("create", "namespace", name)
    grant(control_plane, namespace)
    rights = render(
        namespace,
        "operator/roles.yaml",
        "operator/rolebindings.yaml",
        values=over(STORES, {"operator": {"namespaces": [name]}}),
    )
    control_plane.apply(*(body for body in rights if body["metadata"].get("namespace") == name))
    yield name
    control_plane.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def begin(plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    """Creates an AgentTask, and returns its metadata when its task runs."""
    create(plane, namespace, agent_task(name))
    wait_for(lambda: status_of(plane, namespace, name).get("phase") == "Processing", what=f"{name} Processing")
    metadata: dict[str, Any] = read(plane, namespace, name)["metadata"]
    return metadata


def statuses(stack: Stack, tenant: str) -> list[str]:
    answer = stack.client.get("/v1/tasks", headers={"X-Tenant": tenant}).json()
    return [task["status"] for task in answer["items"]]


def test_the_hook_before_an_uninstall_releases_what_is_under_way(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, tmp_path: Path
) -> None:
    templates = ("operator/deployment.yaml", "operator/uninstall.yaml")
    rendered = render(namespace, *templates, values=over(STORES, NEVER_PLACED))
    for body in rendered:
        if body["kind"] != "Job":
            control_plane.apply({**body, "metadata": {**body["metadata"], "namespace": namespace}})
    (job,) = [body for body in rendered if body["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    module = container["command"][2:]
    with script(stack, SLOW):
        assert FINALIZER in begin(control_plane, namespace, "slow")["finalizers"]
        operator.stop()  # as the kubelet does when the Deployment is scaled to 0

        hook = build_operator(control_plane, stack, namespace, tmp_path, name="uninstall", module=module)
        hook.launch()

        assert hook.process is not None
        assert hook.process.wait(timeout=90) == 0, hook.log.read_text()
        assert "finalizers" not in read(control_plane, namespace, "slow")["metadata"]
        assert control_plane.get(f"deployment/{ACCOUNT}", "-n", namespace)["spec"]["replicas"] == 0
        assert statuses(stack, namespace) == ["processing"]
        control_plane.run("delete", "namespace", namespace, "--timeout=60s")


def test_without_a_finalizer_a_deleted_object_is_gone_at_once_and_its_task_is_cancelled(
    control_plane: ControlPlane, namespace: str, stack: Stack, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    part = build_operator(control_plane, stack, namespace, tmp_path, settings=FINALIZER_OFF)
    with running(part), script(stack, SLOW):
        assert "finalizers" not in begin(control_plane, namespace, "slow")
        control_plane.run("delete", "at/slow", "-n", namespace, "--timeout=5s")
        wait_for(lambda: statuses(stack, namespace) == ["cancelled"], what="the cancel")


def test_without_a_finalizer_a_namespace_can_be_deleted_with_the_rights_in_it(
    control_plane: ControlPlane, namespace: str, team: str, stack: Stack, tmp_path: Path
) -> None:
    settings = {**FINALIZER_OFF, "AGENT_OPERATOR_NAMESPACES": f"{team},{namespace}"}
    with running(build_operator(control_plane, stack, namespace, tmp_path, settings=settings)), script(stack, SLOW):
        begin(control_plane, team, "slow")
        control_plane.run("delete", "namespace", team, "--timeout=60s")
        wait_for(lambda: statuses(stack, team) == ["cancelled"], what="the cancel")


def test_a_finalizer_from_before_the_setting_is_removed(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, tmp_path: Path
) -> None:
    with script(stack, SLOW):
        assert FINALIZER in begin(control_plane, namespace, "slow")["finalizers"]
        operator.stop()
        part = build_operator(control_plane, stack, namespace, tmp_path, name="without", settings=FINALIZER_OFF)
        with running(part):
            wait_for(lambda: "finalizers" not in read(control_plane, namespace, "slow")["metadata"], what="its removal")
            assert statuses(stack, namespace) == ["processing"]
