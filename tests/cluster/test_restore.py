"""Clusters that are restored: no finished task runs again, no task is cancelled, tasks under way are followed on."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_operator.agenttasks.survey import YOUNG
from agent_operator.kube.leases import NAME
from tests.chaos.lab import script
from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane
from tests.cluster.operators import build_operator, grant, running
from tests.cluster.podlet import sit_through
from tests.cluster.test_reconcile import task_of, tasks_of, wait_for_phase
from tests.support.kubernetes import agent_task, condition, create, read
from tests.support.stack import Part, Stack
from tests.support.waiting import wait_for

KEPT = ("name", "labels", "annotations", "finalizers")
HOUR = timedelta(hours=1)


def due_in(time: timedelta) -> str:
    return (datetime.now(UTC) + time).isoformat()


def make_older(stack: Stack, namespace: str, *names: str) -> None:
    """Moves the queueing of these tasks an hour back: the survey leaves tasks of the last minute alone."""
    with stack.database() as db:
        for name in names:
            named = {"source.namespace": namespace, "source.name": name}
            moved = {"$set": {"queued_at": datetime.now(UTC) - HOUR}}
            assert db["tasks"].update_many(named, moved).matched_count == 1


def states(stack: Stack, namespace: str) -> dict[str, str]:
    """Returns the statuses of the namespace's tasks by the names of their objects."""
    with stack.database() as db:
        return {task["source"]["name"]: task["status"] for task in db["tasks"].find({"source.namespace": namespace})}


def back_up(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    """Returns the objects and the Lease as Velero restores them: without uid and status."""
    objects = plane.get("agenttasks", "-n", namespace)["items"] + plane.get("leases", "-n", namespace)["items"]
    return [
        {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {part: body["metadata"][part] for part in KEPT if part in body["metadata"]},
            "spec": body["spec"],
        }
        for body in objects
    ]


def drop(plane: ControlPlane, namespace: str, *names: str) -> None:
    """Deletes objects while no operator runs, as if they had never been."""
    for name in names:
        change = json.dumps({"metadata": {"finalizers": None}})
        plane.run("patch", f"at/{name}", "-n", namespace, "--type=merge", "-p", change)
        plane.run("delete", f"at/{name}", "-n", namespace)


def lose_namespace(plane: ControlPlane, namespace: str) -> str:
    """Deletes the namespace with all in it and creates it again. Returns the uid that it had."""
    uid: str = plane.get("namespace", namespace)["metadata"]["uid"]
    drop(plane, namespace, *(body["metadata"]["name"] for body in plane.get("agenttasks", "-n", namespace)["items"]))
    plane.run("delete", "namespace", namespace, "--timeout=60s")
    plane.run("create", "namespace", namespace)
    return uid


@pytest.fixture
def first(control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path) -> Part:
    """Builds the operator of the cluster before it is lost."""
    grant(control_plane, namespace)
    return build_operator(control_plane, stack, namespace, tmp_path, name="first")


@contextmanager
def restored_operator(plane: ControlPlane, stack: Stack, namespace: str, folder: Path) -> Iterator[Part]:
    """Runs the operator after the restore; its service account is a new one."""
    grant(plane, namespace)
    with running(build_operator(plane, stack, namespace, folder, name="restored")) as part:
        yield part


def test_a_namespace_restored_from_a_backup_of_its_objects_goes_on(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path, first: Part
) -> None:
    with running(first):
        create(control_plane, namespace, agent_task("done"))
        done = wait_for_phase(control_plane, namespace, "done", "Completed")
        wait_for(lambda: "labels" in read(control_plane, namespace, "done")["metadata"], what="its label")
        create(control_plane, namespace, agent_task("later", runAt=due_in(timedelta(seconds=45))))
        create(control_plane, namespace, agent_task("never", suspend=True))
        later = wait_for_phase(control_plane, namespace, "later", "Queued")
        wait_for_phase(control_plane, namespace, "never", "Suspended")
        backup = back_up(control_plane, namespace)
        assert backup[-1]["metadata"]["name"] == NAME, "Velero keeps the Lease, too"
        # Newer than the backup, so no object of it comes back.
        create(control_plane, namespace, agent_task("newest", runAt=due_in(HOUR)))
        wait_for_phase(control_plane, namespace, "newest", "Queued")
        first.stop(signal.SIGKILL)
    make_older(stack, namespace, "later", "newest")
    uid = lose_namespace(control_plane, namespace)

    create(control_plane, namespace, *backup)
    with restored_operator(control_plane, stack, namespace, tmp_path):
        assert uid != control_plane.get("namespace", namespace)["metadata"]["uid"]
        status = wait_for_phase(control_plane, namespace, "done", "Completed")
        assert (status["taskId"], condition(status, "Succeeded")["reason"]) == (done["taskId"], "Restored")
        wait_for_phase(control_plane, namespace, "never", "Suspended")
        status = wait_for_phase(control_plane, namespace, "later", "Queued", "Processing", "Completed")
        assert status["taskId"] == later["taskId"]
        wait_for_phase(control_plane, namespace, "later", "Completed", seconds=120)

    assert states(stack, namespace) == {"done": "completed", "later": "completed", "newest": "queued"}
    assert len(tasks_of(stack, namespace)) == 3


def test_a_running_task_of_a_restored_object_is_followed_to_its_end(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path, first: Part
) -> None:
    with running(first), script(stack, {"fault": "slow-20000"}):
        create(control_plane, namespace, agent_task("slow"))
        status = wait_for_phase(control_plane, namespace, "slow", "Processing")
        backup = back_up(control_plane, namespace)
        first.stop(signal.SIGKILL)
        lose_namespace(control_plane, namespace)
        create(control_plane, namespace, *backup)
        with restored_operator(control_plane, stack, namespace, tmp_path):
            again = wait_for_phase(control_plane, namespace, "slow", "Processing", "Completed")
            assert again["taskId"] == status["taskId"]
            wait_for_phase(control_plane, namespace, "slow", "Completed", seconds=90)

    assert task_of(stack, namespace, status["taskId"])["attempts"] == 1
    assert len(tasks_of(stack, namespace)) == 1


def test_an_orphan_of_this_very_namespace_is_cancelled(
    control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path, first: Part
) -> None:
    with running(first):
        for name in ("gone", "stays"):
            create(control_plane, namespace, agent_task(name, runAt=due_in(HOUR)))
            wait_for_phase(control_plane, namespace, name, "Queued")
        first.stop(signal.SIGKILL)
    make_older(stack, namespace, "gone", "stays")
    drop(control_plane, namespace, "gone")

    with restored_operator(control_plane, stack, namespace, tmp_path):
        wait_for(lambda: states(stack, namespace)["gone"] == "cancelled", what="the cancel")

    assert states(stack, namespace)["stays"] == "queued"


@contextmanager
def stopped(plane: ControlPlane, names: Sequence[str] = ("apiserver", "etcd")) -> Iterator[None]:
    for name in names:
        plane.servers[name].stop()
    try:
        yield
    finally:
        for name in reversed(names):
            plane.servers[name].start()


def ended_with(part: Part) -> Mapping[str, Any]:
    """Waits until the operator has ended itself, and returns the line of its log that says why."""
    assert part.process is not None
    part.process.wait(timeout=90)
    return next(line for line in part.log_lines() if line["message"] == "operator_restarts")


def test_an_etcd_restored_from_a_snapshot_cancels_no_task_that_is_newer_than_it(stack: Stack, tmp_path: Path) -> None:
    namespace = "restored"
    with running_control_plane(find_binaries()) as plane:
        data = plane.servers["etcd"].folder / "data"
        plane.install_crd()
        plane.run("create", "namespace", namespace)
        grant(plane, namespace)
        with running(build_operator(plane, stack, namespace, tmp_path)) as operator:
            for name in ("kept", "orphan"):
                create(plane, namespace, agent_task(name, runAt=due_in(HOUR)))
                wait_for_phase(plane, namespace, name, "Queued")
            make_older(stack, namespace, "orphan")
            with stopped(plane):
                shutil.copytree(data, tmp_path / "snapshot")
            create(plane, namespace, agent_task("newest", runAt=due_in(HOUR)))
            wait_for_phase(plane, namespace, "newest", "Queued")
            sit_through(YOUNG.total_seconds())
            with stopped(plane):
                shutil.rmtree(data)
                shutil.copytree(tmp_path / "snapshot", data)
            assert ended_with(operator)["reason"] == "etcd_was_restored"
        drop(plane, namespace, "orphan")
        with running(build_operator(plane, stack, namespace, tmp_path, name="next")):
            wait_for(lambda: states(stack, namespace)["orphan"] == "cancelled", what="the survey's cancel")
            wait_for_phase(plane, namespace, "kept", "Queued")
            sit_through(2)

    assert states(stack, namespace) == {"kept": "queued", "orphan": "cancelled", "newest": "queued"}
