"""A worker drained through the API finishes its runs, leaves the rest to others, and resumes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.stack import Plan, Stack, running_stack

CODE = "Write a Python function that drains."


@pytest.fixture
def pair() -> Iterator[Stack]:
    with running_stack(Plan(workers=2, simulator=["--latency-ms", "1500"])) as stack:
        yield stack
        assert stack.logged_errors() == []


def workers(stack: Stack) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client.get("/v1/system/metrics").json()["workers"] or []
    return {worker["name"]: worker for worker in found}


def test_a_drained_worker_finishes_what_it_runs_and_takes_nothing_more(pair: Stack) -> None:
    pair.wait_until(lambda: len(workers(pair)) == 2, seconds=20)
    first = workers(pair)["worker"]["worker_id"]
    tasks = [pair.submit(CODE)["task_id"] for _ in range(12)]
    pair.wait_until(lambda: workers(pair)["worker"]["running"] > 0, seconds=20)

    answer = pair.client.post(f"/v1/system/workers/{first}/drain", json={"seconds": 60})
    assert answer.status_code == 202
    pair.wait_until(lambda: workers(pair)["worker"]["draining"], seconds=10)
    later = [pair.submit(CODE)["task_id"] for _ in range(4)]
    ended = [pair.wait(task_id) for task_id in tasks + later]

    assert {task["status"] for task in ended} == {"completed"}
    assert sum(task["crashes"] for task in ended) == 0
    assert all(task["attempts"] == 1 for task in ended)
    runners = {task["task_id"]: runner_of(pair, task["task_id"]) for task in ended}
    assert {runners[task_id] for task_id in later} == {"worker-2"}
    assert "worker" in {runners[task_id] for task_id in tasks}
    pair.wait_until(lambda: workers(pair)["worker"]["running"] == 0, seconds=10)


def runner_of(stack: Stack, task_id: str) -> str:
    """Returns the worker whose log has the claim."""
    for name in ("worker", "worker-2"):
        for line in stack.parts[name].log_lines():
            if line.get("task_id") == task_id and line["message"] == "task_claimed":
                return name
    raise AssertionError(f"no worker claimed {task_id}")


def test_a_drain_ends_by_itself_or_by_request(pair: Stack) -> None:
    pair.wait_until(lambda: len(workers(pair)) == 2, seconds=20)
    for name in ("worker", "worker-2"):
        worker_id = workers(pair)[name]["worker_id"]
        pair.client.post(f"/v1/system/workers/{worker_id}/drain", json={"seconds": 3}).raise_for_status()
    pair.wait_until(lambda: all(worker["draining"] for worker in workers(pair).values()), seconds=10)
    waiting = pair.submit(CODE)["task_id"]
    second = workers(pair)["worker-2"]["worker_id"]

    pair.client.delete(f"/v1/system/workers/{second}/drain").raise_for_status()

    assert pair.wait(waiting)["status"] == "completed"
    pair.wait_until(lambda: not workers(pair)["worker"]["draining"], seconds=15)


def test_an_unknown_worker_cannot_be_drained(pair: Stack) -> None:
    answer = pair.client.post("/v1/system/workers/nobody/drain", json={"seconds": 60})

    assert (answer.status_code, answer.json()["code"]) == (404, "WORKER_NOT_FOUND")


def test_a_worker_that_has_grown_too_large_stops_itself() -> None:
    with running_stack(Plan(settings={"AGENT_WORKER_MAX_MEMORY_MB": "64"})) as stack:
        worker = stack.parts["worker"]
        process = worker.process
        assert process is not None
        stack.wait_until(lambda: process.poll() is not None, seconds=30)

        assert process.returncode == 0
        logged = [line["message"] for line in worker.log_lines()]
        assert logged.index("memory_limit_reached") < logged.index("worker_stopped")
