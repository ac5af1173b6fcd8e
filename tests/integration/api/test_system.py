"""The system's figures, its switch, its probes, and what all answers have in common."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.broker.worker_presence import publish_presence
from app.domain.agent import AgentCard
from app.domain.worker import WorkerPresence
from app.settings import StoreSettings
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.mongo import Database
from tests.integration.api.callers import problem, submit
from tests.integration.api.conftest import StartApi
from tests.support.servers import HOST, free_port


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
    assert item["published_at"] is not None


async def test_health_is_minimal(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_when_both_servers_answer(api: httpx.AsyncClient) -> None:
    answer = await api.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


async def test_without_mongodb_alive_but_not_ready(start_api: StartApi) -> None:
    nobody = StoreSettings(uri=SecretStr(f"mongodb://{HOST}:{free_port()}/"), timeout_seconds=0.5)
    async with start_api(groups={"store": nobody}) as api:
        ready = await api.get("/ready")
        refused = await api.post("/v1/agent/execute", json={"task": "x"})
        figures = await api.get("/v1/system/metrics")
        alive = await api.get("/health")

    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    problem(refused, 503, "STORE_UNAVAILABLE")
    assert int(refused.headers["retry-after"]) > 0
    assert figures.status_code == 200
    assert figures.json()["dependencies"]["mongodb"]["status"] == "down"
    assert figures.json()["today"] is None
    assert alive.status_code == 200


async def test_requests_are_counted_by_route_template(api: httpx.AsyncClient) -> None:
    accepted = await submit(api)
    await api.get(f"/v1/tasks/{accepted['task_id']}")
    await api.get("/wp-login.php")

    exposition = (await api.get("/metrics")).text

    assert 'http_requests_total{method="POST",route="/v1/agent/execute",status="202"} 1.0' in exposition
    assert 'http_requests_total{method="GET",route="/v1/tasks/{task_id}",status="200"} 1.0' in exposition
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in exposition
    assert "wp-login" not in exposition


async def test_a_request_id_is_kept_or_made(api: httpx.AsyncClient) -> None:
    kept = await api.get("/health", headers={"X-Request-ID": "order.7:a_b-c"})
    made = [
        (await api.get("/health", headers={"X-Request-ID": given})).headers["x-request-id"]
        for given in ("", "with space", "x" * 129, "<script>", '{"a":1}')
    ]

    assert kept.headers["x-request-id"] == "order.7:a_b-c"
    assert all(re.fullmatch(r"[0-9a-f]{32}", request_id) for request_id in made)


async def test_named_origins_may_call_from_a_browser(start_api: StartApi) -> None:
    async with start_api(auth="off", cors_origins=("https://app.example",)) as api:
        preflight = await api.options(
            "/v1/agent/execute",
            headers={
                "Origin": "https://app.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
            },
        )
        refused = await api.post("/v1/agent/execute", json={}, headers={"Origin": "https://app.example"})
        undeclared = await api.post("/v1/agent/execute", content=b"{", headers={"Origin": "https://app.example"})
        stranger = await api.get("/v1/tasks", headers={"Origin": "https://evil.example"})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    for answer in (refused, undeclared):
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "X-Request-ID" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in stranger.headers


async def test_without_named_origins_no_browser_may_call(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/tasks", headers={"Origin": "https://app.example"})

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_documentation_is_served(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 200
