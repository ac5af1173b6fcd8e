"""An operator of all namespaces on a real API server: it serves new ones, and leaves those of another release alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agent_operator.kube.leases import NAME as LEASE
from tests.chaos.lab import script
from tests.chart.rendering import STORES, over, render
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import RIGHTS, build_operator, grant, running
from tests.cluster.test_leases import holder, logged, release
from tests.cluster.test_reconcile import tasks_of, wait_for_phase
from tests.support.kubernetes import agent_task, create
from tests.support.stack import Part, Stack
from tests.support.waiting import wait_for

IDENTITY = "platform/all"


@pytest.fixture
def everywhere(control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path) -> Iterator[Part]:
    """Builds an operator of all namespaces with the rights that the chart gives it."""
    rights = render(namespace, *RIGHTS, values=over(STORES, {"operator": {"allNamespaces": True}}))
    control_plane.run("apply", "--server-side", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(rights))
    settings = {"AGENT_OPERATOR_NAMESPACES": "", "AGENT_OPERATOR_IDENTITY": IDENTITY}
    yield build_operator(control_plane, stack, namespace, tmp_path, name="everywhere", settings=settings)
    for body in rights:
        if body["kind"].startswith("Cluster"):
            control_plane.run("delete", body["kind"], body["metadata"]["name"])


@pytest.fixture
def later(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """Names a namespace that does not exist yet."""
    name = f"{namespace}-later"
    yield name
    control_plane.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def test_a_namespace_that_is_created_later_is_served_until_it_is_gone(
    control_plane: ControlPlane, stack: Stack, everywhere: Part, later: str
) -> None:
    with running(everywhere):
        control_plane.run("create", "namespace", later)
        create(control_plane, later, agent_task("one"))
        wait_for_phase(control_plane, later, "one", "Completed")
        assert holder(control_plane, later) == IDENTITY

        with script(stack, {"fault": "slow-30000"}):
            create(control_plane, later, agent_task("two"))
            wait_for_phase(control_plane, later, "two", "Processing")
            control_plane.run("delete", "namespace", later, "--timeout=60s")
        states = {task["status"] for task in tasks_of(stack, later)}
        assert states == {"completed", "cancelled"}


def test_a_namespace_of_another_release_is_left_to_it(
    control_plane: ControlPlane, stack: Stack, namespace: str, everywhere: Part, later: str, tmp_path: Path
) -> None:
    control_plane.run("create", "namespace", later)
    grant(control_plane, later)
    with running(release(control_plane, stack, later, tmp_path, "own")):
        wait_for(lambda: LEASE in control_plane.run("get", "leases", "-n", later).stdout, what="the Lease")
        with running(everywhere):
            create(control_plane, later, agent_task("one"))
            create(control_plane, namespace, agent_task("two"))
            wait_for_phase(control_plane, later, "one", "Completed")
            wait_for_phase(control_plane, namespace, "two", "Completed")
            wait_for(lambda: bool(logged(everywhere, "namespace_held_by_another")), what="the line in the log")
            assert (holder(control_plane, later), holder(control_plane, namespace)) == ("releases/own", IDENTITY)
    assert [len(tasks_of(stack, tenant)) for tenant in (later, namespace)] == [1, 1]
