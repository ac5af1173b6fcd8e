"""Calls and checks that many tests of the API share."""

from __future__ import annotations

from typing import Any

import httpx

from app.domain.api_key import NO_LIMITS, KeyLimits
from app.domain.identity import Role, Tenant
from app.services.keys import KeyService
from app.storage.api_keys import MongoApiKeyRepository
from app.storage.mongo import Database
from app.system_clock import SystemClock


async def submit(client: httpx.AsyncClient, text: str = "Write about tides", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/agent/execute", json={"task": text, **fields})
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Returns the problem document of an answer, after checking the fields that all of them have."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "error_category", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


async def new_key(
    database: Database, role: Role, *, tenant: str = "acme", limits: KeyLimits = NO_LIMITS
) -> dict[str, str]:
    """Creates a key and returns the headers that send it."""
    keys = KeyService(MongoApiKeyRepository(database), SystemClock())
    created = await keys.create(name=f"test {role}", tenant=Tenant(tenant), role=role, limits=limits)
    return {"Authorization": f"Bearer {created.secret}"}
