"""The submission of tasks."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.domain.api_key import KeyLimits
from app.domain.identity import Role
from app.domain.task import TaskResult
from app.ports import RunUpdate
from app.services.arrivals import Arrivals
from app.settings import BrokerSettings
from app.storage.mongo import Database
from tests.integration.api.callers import new_key, problem, submit
from tests.integration.api.conftest import CLIENT_ADDRESS, StartApi
from tests.support.servers import HOST, free_port
from tests.support.tasks import claim_once_dispatched, claim_repository


async def test_answers_at_once_with_ids_and_status(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/agent/execute", json={"task": "Write about tides"})

    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/tasks/{body['task_id']}"
    assert (
        body.items()
        >= {
            "status": "queued",
            "message": "Task accepted and queued.",
            "api_version": "v1",
        }.items()
    )
    assert str(uuid.UUID(body["task_id"])) == body["task_id"]
    assert str(uuid.UUID(body["session_id"])) == body["session_id"]
    assert body["queued_at"].endswith("Z")


async def test_stores_where_the_task_came_from(api: httpx.AsyncClient) -> None:
    answer = await api.post(
        "/v1/agent/execute",
        json={"task": "Write about tides"},
        headers={"User-Agent": "probe/1", "X-Request-ID": "call-7"},
    )

    task = (await api.get(f"/v1/tasks/{answer.json()['task_id']}")).json()
    assert task["source"]["ip"] == CLIENT_ADDRESS
    assert task["source"]["user_agent"] == "probe/1"
    assert task["source"]["environment"] == "dev"
    assert task["request_id"] == "call-7"
    assert [message["content"] for message in task["messages"]] == ["Write about tides"]


async def test_keeps_every_option(api: httpx.AsyncClient) -> None:
    session_id = str(uuid.uuid4())
    options = {
        "session_id": session_id.upper(),
        "agent": "CodeAgent",
        "priority": 9,
        "run_at": "2030-01-01T12:00:00+02:00",
        "deadline_seconds": 60,
        "ttl_seconds": 3600,
        "max_attempts": 5,
        "budget": {"max_tokens": 1000, "max_cost_usd": "0.250001"},
        "metadata": {"ticket": "$rev"},
    }

    accepted = await submit(api, "$rev stays text", **options)

    task = (await api.get(f"/v1/tasks/{accepted['task_id']}")).json()
    assert (
        task.items()
        >= {
            **options,
            "session_id": session_id,
            "task": "$rev stays text",
            "run_at": "2030-01-01T10:00:00.000000Z",
            "budget": {"max_tokens": 1000, "max_cost_usd": 0.250001},
        }.items()
    )


async def test_a_ticket_goes_to_the_queue(start_api: StartApi, redis_client: Redis) -> None:
    async with start_api() as api:
        accepted = await submit(api)
        async with asyncio.timeout(10):
            while not (messages := await redis_client.execute_command("LRANGE", "agent_tasks", 0, -1)):
                continue  # tickets are sent in the background

    assert [json.loads(message)["headers"]["id"] for message in messages] == [f"{accepted['task_id']}:1"]


async def test_accepts_while_redis_is_down(start_api: StartApi) -> None:
    nobody = BrokerSettings(redis_url=SecretStr(f"redis://{HOST}:{free_port()}/0"))
    async with start_api(groups={"broker": nobody}) as api:
        accepted = await submit(api)
        ready = await api.get("/ready")
        metrics = (await api.get("/v1/system/metrics")).json()

    assert accepted["status"] == "queued"
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert metrics["dependencies"]["redis"]["status"] == "down"
    assert metrics["queue"]["length"] == 1


async def test_continues_a_trace(api: httpx.AsyncClient, database: Database) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await api.post("/v1/agent/execute", json={"task": "x"}, headers={"traceparent": traceparent})

    stored = await database["tasks"].find_one({"_id": answer.json()["task_id"]})
    assert stored is not None
    assert stored["traceparent"].split("-")[1] == traceparent.split("-")[1]


async def test_the_same_key_and_body_give_the_same_task(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await api.post("/v1/agent/execute", json={"task": "a", "metadata": {"x": "1", "y": "2"}}, headers=key)
    again = await api.post("/v1/agent/execute", json={"metadata": {"y": "2", "x": "1"}, "task": "a"}, headers=key)

    assert again.status_code == 202
    assert again.json() == {**first.json(), "message": "This task was submitted before. It is queued."}
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_another_body_under_the_same_key_is_refused_with_its_task(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
    other = await api.post("/v1/agent/execute", json={"task": "b"}, headers=key)

    assert problem(other, 409, "IDEMPOTENCY_CONFLICT")["task_id"] == first.json()["task_id"]


async def test_fifty_requests_with_one_key_make_one_task(api: httpx.AsyncClient, database: Database) -> None:
    key = {"Idempotency-Key": "order-1"}
    answers = await asyncio.gather(*(api.post("/v1/agent/execute", json={"task": "a"}, headers=key) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await database["tasks"].count_documents({}) == 1


async def test_a_repeat_completes_what_a_crash_left_pending(api: httpx.AsyncClient, database: Database) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
    task_id = first.json()["task_id"]
    await database["tasks"].delete_many({})
    await database["idempotency_keys"].update_many({}, {"$set": {"accepted": False}})

    again = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)

    assert again.json()["task_id"] == task_id
    assert "idempotency-replayed" not in again.headers
    assert (await api.get(f"/v1/tasks/{task_id}")).status_code == 200


async def test_a_repeat_of_a_pending_record_whose_task_is_stored_is_a_replay(
    start_api: StartApi, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[Arrivals] = []
    monkeypatch.setattr(Arrivals, "record_accepted", lambda arrivals: accepted.append(arrivals))
    key = {"Idempotency-Key": "order-1"}
    async with start_api() as api:
        first = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
        await database["idempotency_keys"].update_many({}, {"$set": {"accepted": False}})
        await api.post(f"/v1/tasks/{first.json()['task_id']}/cancel")

        again = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)

    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["message"] == "This task was submitted before. It is cancelled."
    assert len(accepted) == 1


async def test_a_refused_submission_leaves_its_key_free(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-1"}
    refused = await api.post("/v1/agent/execute", json={"task": "a", "deadline_seconds": 80_000}, headers=key)
    mended = await api.post("/v1/agent/execute", json={"task": "a", "deadline_seconds": 80}, headers=key)

    problem(refused, 422, "INVALID_REQUEST")
    assert mended.status_code == 202


async def test_a_repeat_is_answered_while_the_intake_is_paused(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
    await api.post("/v1/system/intake", json={"accepting": False, "reason": "incident"})

    again = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)

    assert again.json()["task_id"] == first.json()["task_id"]


async def test_the_key_of_an_erased_task_answers_gone(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
    await api.delete(f"/v1/sessions/{first.json()['session_id']}")

    problem(await api.post("/v1/agent/execute", json={"task": "a"}, headers=key), 410, "TASK_ERASED")


async def test_the_key_of_a_removed_task_answers_gone(api: httpx.AsyncClient, database: Database) -> None:
    key = {"Idempotency-Key": "order-1"}
    await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
    await database["tasks"].delete_many({})

    problem(await api.post("/v1/agent/execute", json={"task": "a"}, headers=key), 410, "TASK_ERASED")


async def test_keys_of_two_tenants_do_not_meet(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-1", "X-Tenant": "acme"}
    first = await api.post("/v1/agent/execute", json={"task": "a"}, headers=headers)
    other = await api.post("/v1/agent/execute", json={"task": "b"}, headers={**headers, "X-Tenant": "globex"})

    assert (first.status_code, other.status_code) == (202, 202)
    assert first.json()["task_id"] != other.json()["task_id"]


@pytest.mark.parametrize("key", [b"", b"with space", b"x" * 256, "ümlaut".encode()])
async def test_refuses_a_key_that_cannot_be_one(api: httpx.AsyncClient, key: bytes) -> None:
    answer = await api.post("/v1/agent/execute", json={"task": "a"}, headers=[(b"Idempotency-Key", key)])

    assert problem(answer, 422, "INVALID_REQUEST")["errors"][0]["field"] == "Idempotency-Key"


async def test_wait_gives_the_accepted_task_when_time_is_up(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/agent/execute", json={"task": "a"}, headers={"Prefer": "respond-async, wait=1"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json()["status"] == "queued"


async def test_wait_gives_the_whole_task_when_it_is_done(api: httpx.AsyncClient, database: Database) -> None:
    key = {"Idempotency-Key": "order-1"}
    accepted = await api.post("/v1/agent/execute", json={"task": "a"}, headers=key)
    waiting = asyncio.create_task(
        api.post("/v1/agent/execute", json={"task": "a"}, headers={**key, "Prefer": "wait=30"})
    )
    _, held = await claim_once_dispatched(database, accepted.json()["task_id"])
    result = TaskResult(summary="short", raw_output="long")
    assert await claim_repository(database).complete(held, RunUpdate(), result)

    answer = await waiting

    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.json()["result"]["raw_output"] == "long"


async def test_a_session_is_continued(api: httpx.AsyncClient) -> None:
    first = await submit(api, "first")
    second = await submit(api, "second", session_id=first["session_id"])

    session = (await api.get(f"/v1/sessions/{first['session_id']}")).json()
    assert session["task_ids"] == [first["task_id"], second["task_id"]]
    assert [message["content"] for message in session["messages"]] == ["first", "second"]


@pytest.fixture
async def limited_api(start_api: StartApi, database: Database, limits: KeyLimits) -> AsyncIterator[httpx.AsyncClient]:
    """Starts an API for a tenant's key with the limits. The key comes first: limits are remembered for ten seconds."""
    key = await new_key(database, Role.CLIENT, limits=limits)
    async with start_api(auth="on") as client:
        client.headers.update(key)
        yield client


@pytest.mark.parametrize("limits", [KeyLimits(max_queued=2)])
async def test_a_tenant_queues_no_more_than_it_may(limited_api: httpx.AsyncClient) -> None:
    again = {"Idempotency-Key": "again"}
    body = {"task": "Write about tides"}
    first = await limited_api.post("/v1/agent/execute", json=body, headers=again)
    await submit(limited_api)

    refused = await limited_api.post("/v1/agent/execute", json=body)

    assert "2 queued tasks" in problem(refused, 429, "TENANT_QUEUE_FULL")["detail"]
    assert int(refused.headers["retry-after"]) > 0
    repeated = await limited_api.post("/v1/agent/execute", json=body, headers=again)
    assert repeated.json()["task_id"] == first.json()["task_id"]


@pytest.mark.parametrize("limits", [KeyLimits(max_running=1)])
async def test_the_tasks_of_a_tenant_with_a_limit_wait_for_the_dispatcher(
    limited_api: httpx.AsyncClient, database: Database
) -> None:
    accepted = [await submit(limited_api) for _ in range(3)]

    async def dispatched() -> int:
        return await database["tasks"].count_documents({"dispatched_at": {"$ne": None}})

    async with asyncio.timeout(10):
        while await dispatched() == 0:
            continue
    assert len(accepted) == 3
    assert await dispatched() == 1
