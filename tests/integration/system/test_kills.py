"""SIGKILL of any one part while ten tasks run: all ten end, and no recorded model call is made again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack import Stack, running_stack

TASKS = 10
LATENCY_MS = "400"
SOME = 2


@pytest.mark.parametrize("victim", ["worker", "api", "broker", "store"])
def test_ten_running_tasks_survive_the_death_of(victim: str) -> None:
    with running_stack(simulator=["--latency-ms", LATENCY_MS], settings={"AGENT_HTTP_MAX_RETRIES": "1"}) as stack:
        ids = [stack.submit(f"Write a Python function that adds {n} to a number.")["task_id"] for n in range(TASKS)]
        _wait_for_recorded_steps(stack, ids)

        stack.kill(victim)
        stack.start(victim)

        tasks = [stack.wait(task_id, seconds=90) for task_id in ids]
        assert [task["status"] for task in tasks] == ["completed"] * TASKS
        for task in tasks:
            _assert_no_recorded_call_was_repeated(stack, task)


def _wait_for_recorded_steps(stack: Stack, ids: list[str]) -> None:
    """Until a few tasks have finished their first step and none may have finished altogether."""
    stack.wait_until(lambda: sum(bool(stack.get(task_id)["steps"]) for task_id in ids) >= SOME, seconds=60)


def _assert_no_recorded_call_was_repeated(stack: Stack, task: dict[str, Any]) -> None:
    """The simulator counted each recorded call once; beyond those, only calls that were in flight at the kill."""
    recorded = sum(len(step["attempts"]) for step in task["steps"])
    counted = stack.calls(task["task_id"])["calls"]
    in_flight_at_the_kill = 1
    assert recorded <= counted <= recorded + in_flight_at_the_kill, (recorded, counted)
    if task["attempts"] == 1:
        assert counted == recorded
