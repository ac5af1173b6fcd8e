"""The layers around every request."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware import FaultBarrier, RequestContext
from app.telemetry.metrics import ApiMetrics


class BreaksBefore:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("password=hunter2")


class BreaksAfter:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Response("half", 200)(scope, receive, send)
        raise ValueError("too late")


@pytest.fixture
def metrics() -> ApiMetrics:
    return ApiMetrics(version="test")


def wrapped(app: ASGIApp, metrics: ApiMetrics) -> httpx.AsyncClient:
    layers = RequestContext(FaultBarrier(app), metrics=metrics.http)
    return httpx.AsyncClient(transport=httpx.ASGITransport(layers), base_url="http://api")


async def test_a_fault_becomes_a_problem_document_with_the_request_id(metrics: ApiMetrics) -> None:
    async with wrapped(BreaksBefore(), metrics) as client:
        answer = await client.get("/x", headers={"X-Request-ID": "r-1"})

    assert answer.status_code == 500
    assert (answer.json()["code"], answer.json()["request_id"]) == ("INTERNAL_ERROR", "r-1")
    assert answer.headers["x-request-id"] == "r-1"
    assert "hunter2" not in answer.text


async def test_a_fault_after_the_answer_began_is_not_answered_twice(metrics: ApiMetrics) -> None:
    async with wrapped(BreaksAfter(), metrics) as client:
        answer = await client.get("/x")

    assert (answer.status_code, answer.text) == (200, "half")


async def test_unknown_methods_share_one_label(metrics: ApiMetrics) -> None:
    async with wrapped(FastAPI(), metrics) as client:
        await client.request("BREW", "/coffee")

    exposition, _ = metrics.exposition("")
    assert b'http_requests_total{method="OTHER",route="unmatched",status="404"} 1.0' in exposition
