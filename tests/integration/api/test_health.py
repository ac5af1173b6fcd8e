"""The probes: liveness calls no server, readiness calls MongoDB."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from app.settings import StoreSettings
from tests.integration.api.callers import problem
from tests.integration.api.conftest import StartApi
from tests.support.servers import HOST, free_port


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
