"""The layers around every request, in the whole application: metrics, request ids, browsers."""

from __future__ import annotations

import re

import httpx

from tests.integration.api.callers import submit
from tests.integration.api.conftest import StartApi


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
