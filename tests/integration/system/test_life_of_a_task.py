"""One task through all processes: its answer, its log lines and its metrics."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx
import pytest

from app.llm.simulated_models import CHAINS
from tests.support.stack import Stack
from tests.support.waiting import wait_for

ROUTER = CHAINS["LLM_PEER_MODEL"]


def test_a_tasks_life_is_read_from_all_logs_by_its_request_id(stack: Stack) -> None:
    request_id = f"life-{uuid.uuid4().hex}"
    accepted = stack.submit("Write a Python function that reverses a list.", headers={"X-Request-ID": request_id})
    task = stack.wait(accepted["task_id"])
    assert task["status"] == "completed"

    def logged() -> set[tuple[str, str]]:
        return {
            (line["process"], line["message"])
            for part in ("api", "worker")
            for line in stack.parts[part].log_lines()
            if line.get("request_id") == request_id
        }

    life = {
        ("api", "http_request"),
        ("worker", "task_claimed"),
        ("worker", "task_routed"),
        ("worker", "task_completed"),
    }
    wait_for(lambda: logged() >= life, what="all lines, the last of which is written after the end is stored")


def test_the_log_marks_requests_that_asked_to_wait(stack: Stack) -> None:
    text = "Write a Python function that reverses a list."
    stack.submit(text, headers={"X-Request-ID": "asked", "Prefer": "wait=20"})
    stack.submit(text, headers={"X-Request-ID": "not-asked"})

    def waits() -> dict[str, bool | None]:
        lines = [line for line in stack.parts["api"].log_lines() if line["message"] == "http_request"]
        return {line["request_id"]: line.get("waits") for line in lines}

    wait_for(lambda: {"asked", "not-asked"} <= waits().keys(), what="both lines, which are written after the answers")
    assert (waits()["asked"], waits()["not-asked"]) == (True, None)


def test_no_text_of_a_user_is_in_any_log(stack: Stack) -> None:
    marker = f"marker{uuid.uuid4().hex}"
    accepted = stack.submit(f"Write a Python function named {marker}.")
    stack.wait(accepted["task_id"])

    for part in ("api", "worker"):
        assert marker not in Path(stack.parts[part].log).read_text()


def test_an_article_cites_only_pages_that_the_search_returned(stack: Stack) -> None:
    task = stack.wait(stack.submit("Write an article about how tides work, with sources.")["task_id"])

    assert task["status"] == "completed"
    assert task["selected_agent"] == "ContentAgent"
    citations = task["result"]["citations"]
    assert citations
    hits = [step["output"] for step in stack.client.get(f"/v1/tasks/{task['task_id']}/runs").json()["items"]]
    assert all(citation["url"] in str(hits) for citation in citations)


def test_a_task_nobody_can_do_fails_with_its_reason(stack: Stack) -> None:
    task = stack.wait(stack.submit("Bake me a cake and bring it to my house.")["task_id"])

    assert task["status"] == "failed"
    assert task["error"]["type"] == "UNKNOWN_TASK_TYPE"
    assert task["usage"]["input_tokens"] > 0


def test_a_follow_up_uses_the_first_answer(stack: Stack) -> None:
    first = stack.wait(stack.submit("Write a Python function that reverses a list.")["task_id"])
    second = stack.wait(
        stack.submit("Explain the code you just wrote, line by line.", session_id=first["session_id"])["task_id"]
    )

    assert second["status"] == "completed"
    assert second["session_id"] == first["session_id"]


def test_one_idempotency_key_runs_once(stack: Stack) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = stack.submit("Write a Python function that squares.", headers=headers)
    second = stack.submit("Write a Python function that squares.", headers=headers)
    stack.wait(first["task_id"])

    assert second["task_id"] == first["task_id"]
    recorded = sum(len(step["attempts"]) for step in stack.get(first["task_id"])["steps"])
    assert stack.calls(first["task_id"])["calls"] == recorded


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("Write a Python function that squares.", {"max_tokens": 4_500}),
        # The model has a name of those that think, and gets the tokens to think.
        ("Write a Python function that squares.", {"max_tokens": 3_000}),
        ("Write an article about tidal energy.", {"max_cost_usd": 0.01}),
        ("Write an article about tidal energy.", {"max_cost_usd": 0.003}),
    ],
)
def test_a_task_that_fits_its_budget_completes_within_it(stack: Stack, text: str, budget: dict[str, float]) -> None:
    task = stack.wait(stack.submit(text, budget=budget)["task_id"])

    assert task["status"] == "completed", task["error"]
    counted = stack.calls(task["task_id"])
    assert task["usage"]["total_tokens"] == counted["input_tokens"] + counted["output_tokens"]
    assert 0 < task["usage"]["total_tokens"] <= budget.get("max_tokens", 10**6)
    assert 0 < task["usage"]["cost_usd"] <= budget.get("max_cost_usd", 10**6)


def test_a_running_task_is_cancelled_within_a_second(stack: Stack) -> None:
    fault = {"model": ROUTER, "fault": "hang", "times": 1}
    httpx.post(f"{stack.simulator_url}/simulator/faults", json=fault, timeout=10).raise_for_status()
    accepted = stack.submit("Write a Python function that waits.")
    stack.wait_until(lambda: stack.get(accepted["task_id"])["status"] != "queued", seconds=20)

    stack.client.post(f"/v1/tasks/{accepted['task_id']}/cancel").raise_for_status()

    assert stack.wait(accepted["task_id"], seconds=3)["status"] == "cancelled"


def test_metrics_of_both_processes_have_the_tasks_in_them(stack: Stack) -> None:
    stack.wait(stack.submit("Write a Python function that halves.")["task_id"])
    api = stack.client.get("/metrics").text
    worker = httpx.get(stack.parts["worker"].probe.replace("/health", "/metrics"), timeout=10).text

    assert 'http_requests_total{method="POST",route="/v1/agent/execute",status="202"}' in api
    assert f'agents_llm_calls_total{{model="{ROUTER}",provider="openai",status="ok"}}' in worker
    assert 'agents_tasks_total{agent="CodeAgent",status="completed"}' in worker


def test_a_task_with_a_time_to_live_goes_with_everything_that_was_made_of_it(stack: Stack) -> None:
    text = "Write a Python function that is soon forgotten."
    accepted = stack.submit(text, headers={"Idempotency-Key": "soon-forgotten"}, ttl_seconds=3)
    task_id = accepted["task_id"]
    assert stack.wait(task_id)["status"] == "completed"

    def left() -> dict[str, int]:
        with stack.database() as db:
            names = ("agent_runs", "messages", "logs")
            copies = {name: db[name].count_documents({"task_id": task_id}) for name in names}
            return copies | {"tasks": db["tasks"].count_documents({"_id": task_id})}

    wait_for(lambda: not any(left().values()), what="the removal of the task and its copies")
    repeated = stack.client.post(
        "/v1/agent/execute", json={"task": text, "ttl_seconds": 3}, headers={"Idempotency-Key": "soon-forgotten"}
    )
    assert (repeated.status_code, repeated.json()["code"]) == (410, "TASK_ERASED")
