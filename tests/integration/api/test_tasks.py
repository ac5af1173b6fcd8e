"""Reading, listing and cancelling tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.domain.identity import TaskId
from app.domain.task import Routing, TaskResult
from app.domain.usage import NO_USAGE, AttemptStatus, ModelAttempt, Usage
from app.ports import RunUpdate
from app.storage.mongo import Database
from tests.integration.api.callers import problem, submit
from tests.support.tasks import claim_once_dispatched, claim_repository, step

PAID = Usage(input_tokens=10, output_tokens=5, cost_microusd=1_234_567)
BROKEN_OFF = Usage(input_tokens=10, cost_microusd=None, estimated=True)


async def finish(database: Database, task_id: str, *calls: Usage) -> None:
    """Runs the task as a worker would: one step of these calls, or of one, a route, a result."""
    _, held = await claim_once_dispatched(database, TaskId(task_id))
    usages = calls or (PAID,)
    usage = sum(usages, NO_USAGE)
    made = step(usage=usage)
    attempts = [
        ModelAttempt(provider="openai", model="gpt-4.1", status=AttemptStatus.OK, usage=own, started_at=made.started_at)
        for own in usages
    ]
    update = RunUpdate(
        steps=[made.model_copy(update={"attempts": tuple(attempts)})],
        usage=usage,
        routing=Routing(agent_name="CodeAgent", confidence=0.9, reasoning="it is code"),
        agent_type="code",
    )
    assert await claim_repository(database).complete(held, update, TaskResult(summary="s", raw_output="print()"))


async def listed(api: httpx.AsyncClient, **query: str | int) -> list[str]:
    answer = await api.get("/v1/tasks", params=query)
    assert answer.status_code == 200, answer.text
    return [item["task_id"] for item in answer.json()["items"]]


async def test_a_finished_task_shows_result_route_usage_and_steps(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api)
    await finish(database, accepted["task_id"])

    task: dict[str, Any] = (await api.get(f"/v1/tasks/{accepted['task_id']}")).json()

    assert task["api_version"] == "v1"
    assert task["status"] == "completed"
    assert task["selected_agent"] == "CodeAgent"
    assert task["agent_type"] == "code"
    assert task["peer_routing_reason"] == "it is code"
    assert task["result"] == {
        "summary": "s",
        "raw_output": "print()",
        "code_language": None,
        "citations": [],
        "truncated": False,
    }
    assert task["error"] is None
    assert task["usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "cost_usd": 1.234567,
        "known_cost_usd": 1.234567,
        "estimated": False,
    }
    assert [(item["node"], item["agent_name"]) for item in task["steps"]] == [("generate", "CodeAgent")]
    assert task["steps"][0]["attempts"][0]["model"] == "gpt-4.1"
    assert task["attempts"] == 1


async def test_reading_waits_for_the_end_as_submitting_does(api: httpx.AsyncClient, database: Database) -> None:
    path = f"/v1/tasks/{(await submit(api))['task_id']}"
    early = await api.get(path, headers={"Prefer": "wait=1"})
    waiting = asyncio.create_task(api.get(path, headers={"Prefer": "wait=30"}))
    await finish(database, path.rpartition("/")[2])

    ended = await waiting

    assert (early.json()["status"], early.headers["preference-applied"]) == ("queued", "wait=1")
    assert (ended.json()["status"], ended.headers["preference-applied"]) == ("completed", "wait=30")
    assert "preference-applied" not in (await api.get(path)).headers


async def test_a_parameter_asks_to_wait_as_the_header_does(api: httpx.AsyncClient, database: Database) -> None:
    submitted = await api.post("/v1/agent/execute?wait=1", json={"task": "a"})
    path = f"/v1/tasks/{submitted.json()['task_id']}"
    waiting = asyncio.create_task(api.get(path, params={"wait": "30"}, headers={"Prefer": "wait=1"}))
    await finish(database, path.rpartition("/")[2])

    ended = await waiting

    assert (submitted.status_code, submitted.headers["preference-applied"]) == (202, "wait=1")
    assert (ended.json()["status"], ended.headers["preference-applied"]) == ("completed", "wait=30")
    assert (await api.get(f"{path}?wait=9999999")).headers["preference-applied"] == "wait=60"
    assert "preference-applied" not in (await api.get(f"{path}?wait=0")).headers


@pytest.mark.parametrize("wait", ["-1", "soon", "1.5", "", "9" * 5000])
async def test_a_wait_that_is_no_number_of_seconds_is_refused(api: httpx.AsyncClient, wait: str) -> None:
    path = f"/v1/tasks/{(await submit(api))['task_id']}"

    for answer in (
        await api.get(path, params={"wait": wait}),
        await api.post("/v1/agent/execute", params={"wait": wait}, json={"task": "a"}),
    ):
        assert problem(answer, 422, "INVALID_REQUEST")["errors"][0]["field"] == "wait"


async def test_a_call_of_unknown_cost_leaves_the_known_part_visible(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api)
    await finish(database, accepted["task_id"], PAID, BROKEN_OFF)

    task: dict[str, Any] = (await api.get(f"/v1/tasks/{accepted['task_id']}")).json()

    for usage in (task["usage"], task["steps"][0]["usage"]):
        shown = (usage["total_tokens"], usage["cost_usd"], usage["known_cost_usd"], usage["estimated"])
        assert shown == (25, None, 1.234567, True)
    marks = [attempt["usage"]["estimated"] for attempt in task["steps"][0]["attempts"]]
    assert marks == [False, True]


async def test_internal_fields_are_not_shown(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api)
    await claim_once_dispatched(database, TaskId(accepted["task_id"]))

    answer = await api.get(f"/v1/tasks/{accepted['task_id']}")

    assert answer.json()["status"] == "processing"
    for internal in ("worker-a", "claim_id", "lease", "epoch", "input_hash", "tenant", "dispatch_seq"):
        assert internal not in answer.text


async def test_runs_show_the_output_of_each_step(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api)
    await finish(database, accepted["task_id"])

    body = (await api.get(f"/v1/tasks/{accepted['task_id']}/runs")).json()

    assert body["task_id"] == accepted["task_id"]
    assert [run["run_id"] for run in body["items"]] == [f"{accepted['task_id']}:generate#1"]
    assert body["items"][0]["output"] == {"content": "$rev stays text"}
    assert body["items"][0]["usage"]["cost_usd"] == 1.234567


async def test_messages_show_both_sides(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api, "Print nothing")
    await finish(database, accepted["task_id"])

    body = (await api.get(f"/v1/tasks/{accepted['task_id']}/messages")).json()

    assert [(turn["role"], turn["content"]) for turn in body["items"]] == [
        ("user", "Print nothing"),
        ("assistant", "print()"),
    ]


async def test_pages_do_not_move_when_tasks_come(api: httpx.AsyncClient) -> None:
    made = [(await submit(api, f"task {number}"))["task_id"] for number in range(5)]
    first = (await api.get("/v1/tasks", params={"limit": 2})).json()
    await submit(api, "late")
    second = (await api.get("/v1/tasks", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    third = (await api.get("/v1/tasks", params={"limit": 2, "cursor": second["next_cursor"]})).json()

    seen = [item["task_id"] for page in (first, second, third) for item in page["items"]]
    assert sorted(seen) == sorted(made)
    assert third["next_cursor"] is None


async def test_filters_hold_together(api: httpx.AsyncClient, database: Database) -> None:
    done = (await submit(api, "Sort a LIST"))["task_id"]
    await finish(database, done)
    waiting = await submit(api, "sort a heap")

    assert await listed(api, status="completed") == [done]
    assert await listed(api, agent_type="code") == [done]
    assert await listed(api, session_id=waiting["session_id"]) == [waiting["task_id"]]
    assert await listed(api, text="list") == [done]
    assert await listed(api, text=".*") == []
    assert await listed(api, id_prefix=done[:13].upper()) == [done]
    assert set(await listed(api, created_from="2020-01-01T00:00:00Z")) == {done, waiting["task_id"]}
    assert await listed(api, created_to="2020-01-01T00:00:00+02:00") == []
    assert await listed(api, status="queued", text="list") == []


async def test_a_list_shows_the_beginning_of_the_text_and_no_result(api: httpx.AsyncClient) -> None:
    await submit(api, "x" * 500)

    (item,) = (await api.get("/v1/tasks")).json()["items"]

    assert item["task_preview"] == "x" * 200
    assert "result" not in item


async def test_a_queued_task_is_cancelled_at_once_and_again(api: httpx.AsyncClient) -> None:
    path = f"/v1/tasks/{(await submit(api))['task_id']}"

    first = await api.post(f"{path}/cancel")
    again = await api.post(f"{path}/cancel")

    assert first.json()["status"] == "cancelled"
    assert again.json()["completed_at"] == first.json()["completed_at"]


async def test_a_running_task_is_asked_to_stop(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api)
    await claim_once_dispatched(database, TaskId(accepted["task_id"]))

    answer = await api.post(f"/v1/tasks/{accepted['task_id']}/cancel")

    assert answer.json()["status"] == "processing"
    assert answer.json()["cancel_requested_at"] is not None


async def test_a_finished_task_stays_as_it_is(api: httpx.AsyncClient, database: Database) -> None:
    accepted = await submit(api)
    await finish(database, accepted["task_id"])

    assert (await api.post(f"/v1/tasks/{accepted['task_id']}/cancel")).json()["status"] == "completed"
