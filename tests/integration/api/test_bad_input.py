"""Requests that are refused, each with its status, its stable code and the wrong field."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.domain.agent import AgentCard
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.mongo import Database
from tests.integration.api.callers import problem, submit

JSON = {"Content-Type": "application/json"}
EXECUTE = "/v1/agent/execute"
SOMEBODY = "2b6f0cc9-04d8-4f9e-8c3e-5a4d2a3c1b00"


def as_cursor(parts: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "task", "is required"),
        ({"task": ""}, "task", "at least 1 character"),
        ({"task": " \t\n"}, "task", "must not be blank"),
        ({"task": "\u200b\ufeff\u3164\x01\u2800"}, "task", "must not be blank"),
        ({"task": "x" * 32_769}, "task", "at most 32768 characters"),
        ({"task": 7}, "task", "valid string"),
        ({"task": None}, "task", "valid string"),
        ({"task": ["x"]}, "task", "valid string"),
        ({"task": "a\x00b"}, "task", "NUL"),
        ({"task": "a\ud800b"}, "task", "unicode"),
        ({"task": "x", "tasks": "y"}, "tasks", "is not a known field"),
        ({"task": "x", "callback_url": "https://example.com/"}, "callback_url", "is not a known field"),
        ({"task": "x", "session_id": "42"}, "session_id", "must be a UUID"),
        ({"task": "x", "session_id": 42}, "session_id", "must be a UUID"),
        ({"task": "x", "agent": "no agent's name"}, "agent", "such as CodeAgent; GET /v1/agents"),
        ({"task": "x", "priority": 10}, "priority", "less than or equal to 9"),
        ({"task": "x", "priority": "1"}, "priority", "valid integer"),
        ({"task": "x", "run_at": "2030-01-01T00:00:00"}, "run_at", "timezone"),
        ({"task": "x", "run_at": 1_893_456_000}, "run_at", "as text"),
        ({"task": "x", "run_at": "0001-01-01T00:00:00+23:59"}, "run_at", "years 1 to 9999"),
        ({"task": "x", "run_at": "9999-12-31T23:59:59-23:59"}, "run_at", "years 1 to 9999"),
        ({"task": "x", "run_at": "9999-12-31T12:00:00Z"}, "run_at", "at most ten years"),
        ({"task": "x", "run_at": "2020-01-01T00:00:00Z"}, "run_at", "must not be in the past"),
        ({"task": "x", "deadline_seconds": 0}, "deadline_seconds", "greater than or equal to 1"),
        ({"task": "x", "deadline_seconds": 901}, "deadline_seconds", "at most 900"),
        ({"task": "x", "ttl_seconds": -1}, "ttl_seconds", "greater than or equal to 1"),
        ({"task": "x", "ttl_seconds": 31_536_001}, "ttl_seconds", "at most 31536000 seconds here"),
        ({"task": "x", "ttl_seconds": 315_360_001}, "ttl_seconds", "less than or equal to 315360000"),
        ({"task": "x", "max_attempts": 101}, "max_attempts", "less than or equal to 100"),
        ({"task": "x", "budget": {}}, "budget", "must name"),
        ({"task": "x", "budget": {"max_tokens": 0}}, "budget.max_tokens", "greater than or equal to 1"),
        ({"task": "x", "budget": {"max_cost_usd": 0}}, "budget.max_cost_usd", "greater than 0"),
        ({"task": "x", "budget": {"max_cost_usd": "0.0000001"}}, "budget.max_cost_usd", "6 decimal places"),
        ({"task": "x", "budget": {"max_cost_usd": "NaN"}}, "budget.max_cost_usd", "finite"),
        ({"task": "x", "budget": {"tokens": 1}}, "budget.tokens", "is not a known field"),
        ({"task": "x", "metadata": {"a": 1}}, "metadata.a", "valid string"),
        ({"task": "x", "metadata": {"a": {"b": "c"}}}, "metadata.a", "valid string"),
        ({"task": "x", "metadata": {"a": "\x00"}}, "metadata.a", "NUL"),
        ({"task": "x", "metadata": {"$a b": "c"}}, "metadata.$a b", "match pattern"),
        ({"task": "x", "metadata": {"a": "x" * 1025}}, "metadata.a", "at most 1024"),
        ({"task": "x", "metadata": {str(n): "x" for n in range(33)}}, "metadata", "at most 32"),
        ([], "body", "dictionary"),
        ("task", "body", "dictionary"),
    ],
)
async def test_a_wrong_field_is_named(api: httpx.AsyncClient, body: Any, field: str, message: str) -> None:
    answer = await api.post(EXECUTE, content=json.dumps(body), headers=JSON)

    errors = problem(answer, 422, "INVALID_REQUEST")["errors"]
    assert [error["field"] for error in errors] == [field]
    assert message in errors[0]["message"]


async def test_all_wrong_fields_are_named_at_once(api: httpx.AsyncClient) -> None:
    answer = await api.post(EXECUTE, json={"task": "", "priority": 11, "colour": "red"})

    assert {error["field"] for error in answer.json()["errors"]} == {"task", "priority", "colour"}


async def test_the_longest_task_is_taken(api: httpx.AsyncClient) -> None:
    await submit(api, "é" * 32_768)


async def test_text_of_another_plane_comes_back_unchanged(api: httpx.AsyncClient) -> None:
    text = 'emoji 🌊, combining e\u0301, right-to-left \u202e, quote " and $literal'
    accepted = await submit(api, text)

    assert (await api.get(f"/v1/tasks/{accepted['task_id']}")).json()["task"] == text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'task': 'x'}",
        b'{"task": "x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"task":' * 50_000,
        b'{"task": "\n"}',
    ],
    ids=["empty", "brace", "quotes", "cut", "not-utf8", "deep-list", "deep-object", "raw-newline"],
)
async def test_a_body_that_is_not_json_is_refused(api: httpx.AsyncClient, content: bytes) -> None:
    answer = await api.post(EXECUTE, content=content, headers=JSON)

    if content:
        problem(answer, 400, "MALFORMED_BODY")
    else:
        problem(answer, 422, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_another_content_type_is_refused(api: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    problem(await api.post(EXECUTE, content=b'{"task": "x"}', headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_json_may_name_its_charset(api: httpx.AsyncClient, content_type: str) -> None:
    answer = await api.post(EXECUTE, content=b'{"task": "x"}', headers={"Content-Type": content_type})

    assert answer.status_code == 202


async def test_a_body_of_two_megabytes_is_refused(api: httpx.AsyncClient) -> None:
    body = b'{"task": "' + b"x" * 2_000_000 + b'"}'

    problem(await api.post(EXECUTE, content=body, headers=JSON), 413, "BODY_TOO_LARGE")


async def test_a_large_body_without_a_declared_length_is_refused(api: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"task": "'
        for _ in range(40):
            yield b"x" * 50_000

    problem(await api.post(EXECUTE, content=chunks(), headers=JSON), 413, "BODY_TOO_LARGE")


async def test_a_small_body_without_a_declared_length_is_read(api: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"task": '
        yield b'"x"}'

    assert (await api.post(EXECUTE, content=chunks(), headers=JSON)).status_code == 202


async def test_an_unknown_pinned_agent_is_refused_with_those_there_are(
    api: httpx.AsyncClient, database: Database
) -> None:
    cards = [AgentCard(name=name, agent_type="code", description="…", version="1") for name in ("CodeAgent", "Other")]
    await MongoAgentDirectory(database).publish(cards)

    refused = problem(await api.post(EXECUTE, json={"task": "x", "agent": "Nobody"}), 422, "UNKNOWN_AGENT")

    assert refused["known_agents"] == ["CodeAgent", "Other"]
    assert refused["errors"][0]["field"] == "agent"
    await submit(api, agent="CodeAgent")


async def test_any_agent_may_be_pinned_before_the_first_worker_came(api: httpx.AsyncClient) -> None:
    await submit(api, agent="Nobody")


async def test_the_session_of_another_tenant_is_not_found(api: httpx.AsyncClient) -> None:
    theirs = await api.post(EXECUTE, json={"task": "x"}, headers={"X-Tenant": "globex"})
    foreign = {"task": "x", "session_id": theirs.json()["session_id"]}

    problem(await api.post(EXECUTE, json=foreign), 404, "SESSION_NOT_FOUND")
    problem(await api.get(f"/v1/sessions/{foreign['session_id']}"), 404, "SESSION_NOT_FOUND")
    problem(await api.delete(f"/v1/sessions/{foreign['session_id']}"), 404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/runs"), ("GET", "/messages"), ("POST", "/cancel")])
async def test_the_task_of_another_tenant_is_not_found(api: httpx.AsyncClient, method: str, path: str) -> None:
    theirs = await api.post(EXECUTE, json={"task": "x"}, headers={"X-Tenant": "globex"})

    for task_id in (theirs.json()["task_id"], SOMEBODY):
        problem(await api.request(method, f"/v1/tasks/{task_id}{path}"), 404, "TASK_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tasks/42"),
        ("GET", "/v1/tasks/42/runs"),
        ("GET", "/v1/tasks/42/messages"),
        ("POST", "/v1/tasks/42/cancel"),
        ("GET", "/v1/sessions/42"),
        ("DELETE", "/v1/sessions/42"),
    ],
)
async def test_an_id_that_is_no_uuid_is_refused(api: httpx.AsyncClient, method: str, path: str) -> None:
    errors = problem(await api.request(method, path), 422, "INVALID_REQUEST")["errors"]

    assert errors[0]["message"] == "must be a UUID"


async def test_an_id_may_be_written_in_capitals(api: httpx.AsyncClient) -> None:
    accepted = await submit(api)

    assert (await api.get(f"/v1/tasks/{accepted['task_id'].upper()}")).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "sleeping"}, "status"),
        ({"agent_type": "$ne"}, "agent_type"),
        ({"session_id": "42"}, "session_id"),
        ({"created_from": "yesterday"}, "created_from"),
        ({"created_from": "2030-01-01T00:00:00"}, "created_from"),
        ({"created_from": "2030-01-02T00:00:00Z", "created_to": "2030-01-01T00:00:00Z"}, "created_to"),
        ({"limit": "0"}, "limit"),
        ({"id_prefix": "abc"}, "id_prefix"),
        ({"id_prefix": "wxyz"}, "id_prefix"),
        ({"id_prefix": "0" * 37}, "id_prefix"),
        ({"limit": "101"}, "limit"),
        ({"text": "x" * 201}, "text"),
        ({"text": "\x00"}, "text"),
        ({"cursor": "not-one-of-ours"}, "cursor"),
        ({"cursor": "WzEsMl0"}, "cursor"),
        ({"cursor": "bnVsbA"}, "cursor"),
        ({"cursor": "WzFlOTk5LCAiYSJd"}, "cursor"),
        ({"cursor": as_cursor([1_700_000_000_000, "\ud800"])}, "cursor"),
        ({"cursor": as_cursor([10**20, "a"])}, "cursor"),
        ({"cursor": as_cursor([10**40, "a"])}, "cursor"),
        ({"cursor": as_cursor([True, "a"])}, "cursor"),
        ({"cursor": as_cursor([-62_135_596_795_000, "a"])}, "cursor"),
        ({"created_from": "0001-01-01T00:00:00+23:59"}, "created_from"),
        ({"created_to": "9999-12-31T23:59:59-23:59"}, "created_to"),
        ({"status": ["failed", "completed"]}, "status"),
        ({"limit": ["5", "5"]}, "limit"),
        ({"state": "queued"}, "state"),
    ],
)
async def test_a_wrong_filter_is_named(api: httpx.AsyncClient, query: dict[str, str | list[str]], field: str) -> None:
    errors = problem(await api.get("/v1/tasks", params=query), 422, "INVALID_REQUEST")["errors"]

    assert [error["field"] for error in errors] == [field]


async def test_an_unknown_address_is_not_found(api: httpx.AsyncClient) -> None:
    problem(await api.get(f"/v1/nothing/{uuid.uuid4()}"), 404, "ROUTE_NOT_FOUND")
    problem(await api.get("/v1/tasks/"), 404, "ROUTE_NOT_FOUND")


async def test_another_method_is_refused_with_those_allowed(api: httpx.AsyncClient) -> None:
    answer = await api.put("/v1/tasks")

    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [(f"/v1/sessions/{SOMEBODY}", "DELETE, GET, HEAD"), ("/v1/system/autoscaler", "GET, HEAD, POST")],
)
async def test_all_methods_of_a_path_are_allowed_together(api: httpx.AsyncClient, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "PUT"):
        assert (await api.request(method, path)).headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/tasks", "/v1/nothing"])
async def test_head_is_answered_as_get_without_its_body(api: httpx.AsyncClient, path: str) -> None:
    got, head = await api.get(path), await api.head(path)

    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.content == b""


async def test_an_idempotency_key_that_comes_twice_is_refused(api: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "first"), ("Idempotency-Key", "second")]
    errors = problem(await api.post(EXECUTE, json={"task": "x"}, headers=headers), 422, "INVALID_REQUEST")["errors"]

    assert errors == [{"field": "Idempotency-Key", "message": "must be sent once"}]


@pytest.mark.parametrize("tenant", ["", "a:b", "x" * 64, "-acme", "a/b"])
async def test_a_tenant_that_cannot_be_one_is_refused(api: httpx.AsyncClient, tenant: str) -> None:
    problem(await api.get("/v1/tasks", headers={"X-Tenant": tenant}), 422, "INVALID_REQUEST")
