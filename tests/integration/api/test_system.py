"""The figures of the system, and its intake switch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
from redis.asyncio import Redis

from app.broker.worker_presence import publish_presence
from app.domain.agent import AgentCard
from app.domain.worker_state import WorkerPresence
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.mongo import Database
from tests.integration.api.callers import problem, submit


async def test_figures_of_queue_today_workers_and_dependencies(
    api: httpx.AsyncClient, redis_client: Redis, database: Database
) -> None:
    presence = WorkerPresence(
        worker_id="w-1", name="w", slots=8, running=("a",), reserved=(), draining=False, loop_lag_ms=0.5, version="1",
        at=datetime.now(UTC), breakers={"openai:gpt-4.1": "open", "tavily": "closed"},
    )  # fmt: skip
    await publish_presence(redis_client, presence)
    await submit(api)

    figures: dict[str, Any] = (await api.get("/v1/system/metrics")).json()

    assert figures["api_version"] == "v1"
    assert figures["intake"] == {"accepting": True, "reason": ""}
    assert figures["today"]["by_status"]["queued"] == 1
    assert [(worker["name"], worker["slots"], worker["running"]) for worker in figures["workers"]] == [("w", 8, 1)]
    statuses = {name: state["status"] for name, state in figures["dependencies"].items()}
    assert statuses == {
        "mongodb": "up", "redis": "up", "workers": "up", "openai:gpt-4.1": "down", "tavily": "up"
    }  # fmt: skip


async def test_a_paused_intake_refuses_new_tasks_with_the_reason(api: httpx.AsyncClient) -> None:
    accepted = await submit(api)
    switched = await api.post("/v1/system/intake", json={"accepting": False, "reason": "provider incident"})

    refused = await api.post("/v1/agent/execute", json={"task": "x"})

    assert switched.json() == {"api_version": "v1", "accepting": False, "reason": "provider incident"}
    assert "provider incident" in problem(refused, 503, "INTAKE_PAUSED")["detail"]
    assert int(refused.headers["retry-after"]) > 0
    assert (await api.get(f"/v1/tasks/{accepted['task_id']}")).status_code == 200
    assert (await api.get("/v1/system/metrics")).json()["intake"]["reason"] == "provider incident"
    await api.post("/v1/system/intake", json={"accepting": True})
    await submit(api)


async def test_agents_are_those_that_workers_published(api: httpx.AsyncClient, database: Database) -> None:
    card = AgentCard(name="CodeAgent", agent_type="code", description="Writes code.", version="1", tools=("web",))
    await MongoAgentDirectory(database).publish([card])

    (item,) = (await api.get("/v1/agents")).json()["items"]

    assert item.items() >= {"name": "CodeAgent", "agent_type": "code", "tools": ["web"]}.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", item["published_at"])
