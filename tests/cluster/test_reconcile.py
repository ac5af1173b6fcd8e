"""AgentTasks on a real API server, with a real operator and a real system, as a user of kubectl sees them."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.lab import script
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import build_operator, running
from tests.support.kubernetes import CODE, agent_task, condition, create, read, status_of
from tests.support.stack import Part, Stack, stopped
from tests.support.waiting import wait_for

SLOW = {"fault": "slow-10000"}
LABEL = "agentorchestrator.dev/finished"


def wait_for_phase(plane: ControlPlane, namespace: str, name: str, *phases: str, seconds: float = 30) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def there() -> bool:
        seen.clear()
        seen.update(status_of(plane, namespace, name))
        return seen.get("phase") in phases

    wait_for(there, seconds=seconds, what=f"{name} {'/'.join(phases)}")
    return seen


def task_of(stack: Stack, namespace: str, task_id: str) -> dict[str, Any]:
    answer = stack.client.get(f"/v1/tasks/{task_id}", headers={"X-Tenant": namespace})
    answer.raise_for_status()
    task: dict[str, Any] = answer.json()
    return task


def tasks_of(stack: Stack, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = stack.client.get("/v1/tasks", headers={"X-Tenant": namespace}).json()["items"]
    return items


def is_gone(plane: ControlPlane, namespace: str, name: str) -> bool:
    return plane.run("get", f"at/{name}", "-n", namespace, check=False).returncode != 0


def merge(plane: ControlPlane, namespace: str, name: str, change: dict[str, Any], *options: str) -> None:
    plane.run("patch", f"at/{name}", "-n", namespace, "--type=merge", "-p", json.dumps(change), *options)


def test_an_object_becomes_a_task_and_shows_its_answer(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    create(control_plane, namespace, agent_task("adder", metadata={"ticket": "T-1"}))

    control_plane.run("wait", "-n", namespace, "--for=condition=Succeeded", "at/adder", "--timeout=60s")

    body = read(control_plane, namespace, "adder")
    status = body["status"]
    task = task_of(stack, namespace, status["taskId"])
    assert (status["phase"], status["agent"], status["attempts"]) == ("Completed", "CodeAgent", 1)
    assert status["usage"]["totalTokens"] == task["usage"]["total_tokens"] > 0
    assert status["result"]["preview"] == task["result"]["summary"][:1024]
    assert status["routing"]["reasoning"] == task["peer_routing_reason"]
    assert task["metadata"] == {"ticket": "T-1"}
    assert (task["source"]["namespace"], task["source"]["name"], task["source"]["uid"]) == (
        namespace,
        "adder",
        body["metadata"]["uid"],
    )
    wait_for(lambda: LABEL in read(control_plane, namespace, "adder")["metadata"].get("labels", {}), what="the label")
    assert "finalizers" not in read(control_plane, namespace, "adder")["metadata"]


def test_the_status_of_a_large_result_has_a_preview_and_a_reference(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    with script(stack, {"fault": "verbose"}):
        create(control_plane, namespace, agent_task("endless"))
        status = wait_for_phase(control_plane, namespace, "endless", "Completed", seconds=60)

    result = status["result"]
    task = task_of(stack, namespace, status["taskId"])
    assert result["sizeBytes"] == len(task["result"]["raw_output"].encode()) > 3_900_000
    assert hashlib.sha256(task["result"]["raw_output"].encode()).hexdigest() == result["sha256"]
    assert 0 < len(result["preview"]) <= 1_024
    assert stack.client.get(result["ref"], headers={"X-Tenant": namespace}).json()["task_id"] == status["taskId"]


def test_describe_shows_status_and_events(control_plane: ControlPlane, namespace: str, operator: Part) -> None:
    create(control_plane, namespace, agent_task("adder"))
    wait_for_phase(control_plane, namespace, "adder", "Completed")

    def description() -> str:
        return control_plane.run("describe", "at/adder", "-n", namespace).stdout

    wait_for(lambda: "CodeAgent has answered, for" in description(), what="the last event")
    for part in ("Submitted", "Trace Id", "Reasoning", "Preview", "Attempts"):
        assert part in description()


def test_a_running_task_is_cancelled(control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack) -> None:
    with script(stack, SLOW):
        create(control_plane, namespace, agent_task("slow"))
        wait_for_phase(control_plane, namespace, "slow", "Processing")
        merge(control_plane, namespace, "slow", {"spec": {"cancel": True}})
        status = wait_for_phase(control_plane, namespace, "slow", "Cancelled")

    assert condition(status, "Succeeded")["status"] == "False"
    assert task_of(stack, namespace, status["taskId"])["status"] == "cancelled"


def test_a_task_that_is_cancelled_from_the_start_never_runs(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    create(control_plane, namespace, agent_task("never", cancel=True))

    status = wait_for_phase(control_plane, namespace, "never", "Cancelled")

    assert "taskId" not in status
    assert tasks_of(stack, namespace) == []


def test_a_suspended_object_waits_until_it_is_resumed(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    create(control_plane, namespace, agent_task("later", suspend=True))
    status = wait_for_phase(control_plane, namespace, "later", "Suspended")
    assert condition(status, "Suspended")["status"] == "True"
    assert tasks_of(stack, namespace) == []

    merge(control_plane, namespace, "later", {"spec": {"suspend": False}})

    assert condition(wait_for_phase(control_plane, namespace, "later", "Completed"), "Suspended")["status"] == "False"


def test_an_unknown_agent_is_refused_with_the_known_agents(
    control_plane: ControlPlane, namespace: str, operator: Part
) -> None:
    create(control_plane, namespace, agent_task("who", agent="CookAgent"))

    status = wait_for_phase(control_plane, namespace, "who", "Failed")

    accepted = condition(status, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "UnknownAgent")
    assert "CodeAgent" in accepted["message"]
    assert status["error"]["type"] == "UNKNOWN_AGENT"


def test_a_paused_intake_is_shown_and_the_task_waits(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    def switch(*, accepting: bool) -> None:
        stack.client.post("/v1/system/intake", json={"accepting": accepting, "reason": "upgrade"}).raise_for_status()

    switch(accepting=False)
    try:
        create(control_plane, namespace, *(agent_task(f"waits-{number}") for number in range(5)))
        for number in range(5):
            status = wait_for_phase(control_plane, namespace, f"waits-{number}", "Pending")
            assert condition(status, "Accepted")["reason"] == "IntakePaused"
            assert "upgrade" in condition(status, "Accepted")["message"]
    finally:
        switch(accepting=True)

    for number in range(5):
        wait_for_phase(control_plane, namespace, f"waits-{number}", "Completed", seconds=60)


@pytest.mark.parametrize("phase", ["Processing", "Completed", "Suspended"])
def test_an_object_is_deleted_in_any_phase(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, phase: str
) -> None:
    with script(stack, SLOW if phase == "Processing" else {"fault": "slow-1"}):
        create(control_plane, namespace, agent_task("goes", suspend=phase == "Suspended"))
        wait_for_phase(control_plane, namespace, "goes", phase)
        control_plane.run("delete", "at/goes", "-n", namespace, "--timeout=20s")

    ended = {"Processing": ["cancelled"], "Completed": ["completed"], "Suspended": []}[phase]
    wait_for(lambda: [task["status"] for task in tasks_of(stack, namespace)] == ended, what="the task's end")


def test_deletion_waits_for_an_unavailable_api_and_then_cancels(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    with script(stack, {"fault": "slow-20000"}):
        create(control_plane, namespace, agent_task("goes"))
        wait_for_phase(control_plane, namespace, "goes", "Processing")
        with stopped(stack.parts["api"]):
            control_plane.run("delete", "at/goes", "-n", namespace, "--wait=false")
            wait_for(
                lambda: "deletionTimestamp" in read(control_plane, namespace, "goes")["metadata"], what="the deletion"
            )
        wait_for(lambda: is_gone(control_plane, namespace, "goes"), what="the end of the object")
        wait_for(lambda: [task["status"] for task in tasks_of(stack, namespace)] == ["cancelled"], what="the cancel")


def test_an_object_of_the_same_name_is_a_new_task(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    create(control_plane, namespace, agent_task("again"))
    first = wait_for_phase(control_plane, namespace, "again", "Completed")
    control_plane.run("delete", "at/again", "-n", namespace, "--timeout=20s")
    create(control_plane, namespace, agent_task("again"))
    second = wait_for_phase(control_plane, namespace, "again", "Completed")

    assert first["taskId"] != second["taskId"]
    assert len(tasks_of(stack, namespace)) == 2


def test_an_object_is_deleted_when_its_time_to_live_is_over(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    create(control_plane, namespace, agent_task("short", ttlSecondsAfterFinished=2), agent_task("long"))

    wait_for(lambda: is_gone(control_plane, namespace, "short"), seconds=40, what="the deletion")

    wait_for_phase(control_plane, namespace, "long", "Completed")
    assert {task["status"] for task in tasks_of(stack, namespace)} == {"completed"}


def test_an_object_that_is_applied_again_and_again_is_one_task_if_it_stays(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    """A controller applies what is in Git: with a time to live each deletion of the object leads to a new task."""
    kept = "Write a Python function that subtracts two numbers."
    objects = [agent_task("short", ttlSecondsAfterFinished=1), agent_task("kept", kept, ttlSecondsAfterFinished=-1)]
    in_git = yaml.safe_dump_all(objects)

    def is_run_again() -> bool:
        control_plane.run("apply", "--server-side", "-n", namespace, "-f", "-", stdin=in_git)
        texts = [task["task_preview"] for task in tasks_of(stack, namespace)]
        assert texts.count(kept) <= 1
        return texts.count(CODE) >= 3

    wait_for(is_run_again, seconds=90, every=1, what="the third task of the short-lived object")

    assert read(control_plane, namespace, "kept")["status"]["phase"] == "Completed"


def test_a_new_operator_continues_after_the_last_one_was_killed(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    with script(stack, SLOW):
        create(control_plane, namespace, *(agent_task(f"kept-{number}") for number in range(5)))
        wait_for_phase(control_plane, namespace, "kept-0", "Processing")
        operator.stop(signal.SIGKILL)
    create(control_plane, namespace, agent_task("meanwhile"))
    operator.start()

    for name in (*(f"kept-{number}" for number in range(5)), "meanwhile"):
        wait_for_phase(control_plane, namespace, name, "Completed", seconds=60)

    assert len(tasks_of(stack, namespace)) == 6


def test_two_operators_make_one_task_of_an_object(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack, tmp_path: Path
) -> None:
    with running(build_operator(control_plane, stack, namespace, tmp_path, name="second")):
        create(control_plane, namespace, *(agent_task(f"one-{number}") for number in range(10)))
        for number in range(10):
            wait_for_phase(control_plane, namespace, f"one-{number}", "Completed", seconds=60)

    assert len(tasks_of(stack, namespace)) == 10


def test_a_label_set_by_hand_does_not_hide_an_object(
    control_plane: ControlPlane, namespace: str, operator: Part, stack: Stack
) -> None:
    with script(stack, SLOW):
        create(control_plane, namespace, agent_task("hidden"))
        wait_for_phase(control_plane, namespace, "hidden", "Processing")
        control_plane.run("label", "at/hidden", "-n", namespace, f"{LABEL}=true")
    status = wait_for_phase(control_plane, namespace, "hidden", "Completed")

    assert task_of(stack, namespace, status["taskId"])["status"] == "completed"


def test_a_stopped_operator_exits_at_once(control_plane: ControlPlane, namespace: str, operator: Part) -> None:
    create(control_plane, namespace, agent_task("adder"))
    process = operator.process
    assert process is not None

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 0
    assert [line["message"] for line in operator.log_lines() if line["level"] == "error"] == []
