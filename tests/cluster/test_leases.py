"""Two releases and one namespace on a real API server: only one of them serves it, and the other one takes over."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from agent_operator.kube.leases import LEASE_SECONDS, NAME
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import ACCOUNT, build_operator, grant, running
from tests.cluster.test_reconcile import tasks_of, wait_for_phase
from tests.support.kubernetes import agent_task, create
from tests.support.stack import Part, Stack
from tests.support.waiting import wait_for


def release(plane: ControlPlane, stack: Stack, namespace: str, folder: Path, name: str) -> Part:
    settings = {"AGENT_OPERATOR_IDENTITY": f"releases/{name}"}
    return build_operator(plane, stack, namespace, folder, name=name, settings=settings)


def holder(plane: ControlPlane, namespace: str) -> str:
    found: str = plane.get("lease", NAME, "-n", namespace)["spec"]["holderIdentity"]
    return found


def logged(part: Part, message: str) -> list[dict[str, Any]]:
    return [line for line in part.log_lines() if line["message"] == message]


def test_a_second_release_waits_and_takes_over_when_the_first_is_gone(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    first = release(control_plane, stack, namespace, tmp_path, "first")
    second = release(control_plane, stack, namespace, tmp_path, "second")
    with running(first), running(second):
        create(control_plane, namespace, agent_task("one"))
        wait_for_phase(control_plane, namespace, "one", "Completed")
        lease = control_plane.get("lease", NAME, "-n", namespace)["spec"]
        assert (lease["holderIdentity"], lease["leaseDurationSeconds"]) == ("releases/first", LEASE_SECONDS)
        (line,) = logged(second, "namespace_held_by_another")
        assert (line["namespace"], line["holder"]) == (namespace, "releases/first")

        def events() -> str:
            return control_plane.run("get", "events", "-n", namespace, "-o", "wide").stdout

        wait_for(lambda: "NamespaceHeld" in events(), what="the event of the Lease")

        # A new pod of the first release continues at once, although its predecessor was killed.
        first.stop(signal.SIGKILL)
        first.start()
        create(control_plane, namespace, agent_task("two"))
        wait_for_phase(control_plane, namespace, "two", "Completed")
        assert holder(control_plane, namespace) == "releases/first"

        first.stop(signal.SIGKILL)
        assert second.process is not None
        second.process.wait(timeout=2 * LEASE_SECONDS)
        second.start()
        assert holder(control_plane, namespace) == "releases/second"
        create(control_plane, namespace, agent_task("three"))
        wait_for_phase(control_plane, namespace, "three", "Completed")
    assert len(tasks_of(stack, namespace)) == 3


def test_an_operator_with_the_rights_of_the_version_before_works(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    grant(control_plane, namespace)
    role = control_plane.get("role", ACCOUNT, "-n", namespace)
    older = [rule for rule in role["rules"] if not {"leases", "namespaces"} & set(rule["resources"])]
    assert len(older) == len(role["rules"]) - 2
    control_plane.run("patch", "role", ACCOUNT, "-n", namespace, "--type=merge", "-p", json.dumps({"rules": older}))

    with running(build_operator(control_plane, stack, namespace, tmp_path)) as operator:
        create(control_plane, namespace, agent_task("one"))
        wait_for_phase(control_plane, namespace, "one", "Completed")

        assert [line["namespace"] for line in logged(operator, "namespace_not_leased")] == [namespace]
