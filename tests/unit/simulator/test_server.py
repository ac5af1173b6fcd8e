"""The server's endpoints, called without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.simulator.core import SimulatorConfig
from app.simulator.server import create_app

KEY = {"authorization": "Bearer k"}
CHAT = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Write an article about bees"}]}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"model": "gpt-4.1", "input": "Write an article about bees"},
    "/v1/messages": {**CHAT, "max_tokens": 2_000},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": ["bees"]},
    "/search": {"query": "bees"},
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(SimulatorConfig()))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator", headers=KEY) as client:
        yield client


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_same_request_gets_the_same_answer(client: httpx.AsyncClient, path: str) -> None:
    first, second = [await client.post(path, json=PATHS[path]) for _ in range(2)]
    assert first.status_code == 200
    assert first.content == second.content


REFUSALS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"},
    "/v1/responses": {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"},
    "/v1/embeddings": {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"},
    "/v1/messages": {"type": "authentication_error", "message": "Invalid bearer token"},
}


@pytest.mark.parametrize("path", sorted(PATHS))
@pytest.mark.parametrize("key", ["", "Bearer none", "Bearer revoked-1"])
async def test_wrong_key_gets_the_providers_own_401(client: httpx.AsyncClient, path: str, key: str) -> None:
    answer = await client.post(path, json=PATHS[path], headers={"authorization": key})
    assert answer.status_code == 401
    if path == "/search":
        assert answer.json() == {"detail": {"error": "Unauthorized: missing or invalid API key."}}
    else:
        assert answer.json()["error"].items() >= REFUSALS[path].items()


@pytest.mark.parametrize("path", sorted(PATHS))
@pytest.mark.parametrize("body", [b"{}", b'{"model": "sim-down", "query": "bees"}'])
async def test_key_is_checked_before_all_else(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    del client.headers["authorization"]
    answer = await client.post(path, content=body, headers={"x-simulator-fault": "down"})
    assert answer.status_code == 401


async def test_refused_key_uses_up_neither_fault_nor_recording(client: httpx.AsyncClient) -> None:
    await client.post("/simulator/faults", json={"fault": "down", "times": 1})
    await client.post("/simulator/recordings", json={"model": "gpt-4.1", "body": "recorded", "times": 1})
    refused = await client.post("/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer none"})
    answers = [await client.post("/v1/chat/completions", json=CHAT) for _ in range(2)]
    assert [refused.status_code, *(answer.status_code for answer in answers)] == [401, 200, 200]
    assert answers[0].text == "recorded"
    assert (await client.get("/simulator/calls")).json()["by_outcome"] == {"invalid_api_key": 1, "recorded": 1, "ok": 1}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4.1"])
async def test_list_of_models_belongs_to_the_provider_that_is_asked(client: httpx.AsyncClient, path: str) -> None:
    del client.headers["authorization"]
    openai, anthropic = {"api-key": "k"}, {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    statuses = [(await client.get(path, headers=headers)).status_code for headers in (openai, anthropic)]
    assert statuses == [200, 200]
    refused = await client.get(path, headers={"x-api-key": "k"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, None)
    refused = await client.get(path, headers={"api-key": "k", "anthropic-version": "2023-06-01"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize("path", sorted(PATHS))
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"model": "m", "query": "   "}'])
async def test_malformed_request_is_refused(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    assert (await client.post(path, content=body)).status_code == 400


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_header_switches_a_fault_on(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json=PATHS[path], headers={"x-simulator-fault": "429"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"


async def test_calls_are_told_by_task(client: httpx.AsyncClient) -> None:
    headers = {"x-task-id": "t1", "x-request-id": "r1", "x-step": "write#1"}
    await client.post("/v1/chat/completions", json=CHAT, headers=headers)
    report: dict[str, Any] = (await client.get("/simulator/calls", params={"task_id": "t1"})).json()
    assert report["by_step"] == {"write#1": 1}
    assert report["by_outcome"] == {"ok": 1}
    assert report["output_tokens"] > 100
    assert (await client.get("/simulator/calls")).json()["tasks"] == {"t1": 1}
    assert (await client.delete("/simulator/calls")).status_code == 204
    assert (await client.get("/simulator/calls")).json()["calls"] == 0


async def test_fault_is_switched_on_and_off(client: httpx.AsyncClient) -> None:
    wish = {"model": "gpt-4.1", "fault": "down", "times": 1}
    assert (await client.post("/simulator/faults", json=wish)).status_code == 201
    statuses = [(await client.post("/v1/chat/completions", json=CHAT)).status_code for _ in range(2)]
    assert statuses == [503, 200]
    await client.post("/simulator/faults", json={"provider": "tavily", "fault": "quota"})
    assert (await client.post("/search", json={"query": "bees"})).status_code == 432
    assert (await client.delete("/simulator/faults")).status_code == 204
    assert (await client.post("/search", json={"query": "bees"})).status_code == 200


async def test_a_fault_may_hit_the_requests_that_hold_a_text(client: httpx.AsyncClient) -> None:
    await client.post("/simulator/faults", json={"fault": "verbose-5000", "text": "at length"})

    lengths = []
    for text in ("Write about bees at length", "Write about bees"):
        body = {**CHAT, "messages": [{"role": "user", "content": text}]}
        answer = (await client.post("/v1/chat/completions", json=body)).json()
        lengths.append(len(answer["choices"][0]["message"]["content"]))

    assert lengths[0] == 5_000 > lengths[1]


RECORDED = {"model": "gpt-4.1", "status": 418, "headers": {"X-Own": "1"}, "body": "recorded", "times": 1}


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_recording_is_served_on_every_path(client: httpx.AsyncClient, path: str) -> None:
    model = PATHS[path].get("model", "search")
    added = await client.post("/simulator/recordings", json={**RECORDED, "model": model})
    assert added.status_code == 201
    listed = (await client.get("/simulator/recordings")).json()["recordings"]
    assert listed == [{"model": model, "status": 418, "times": 1, "pieces": 1, "bytes": 8}]
    recorded, answered = [await client.post(path, json=PATHS[path]) for _ in range(2)]
    assert (recorded.status_code, recorded.content, dict(recorded.headers)) == (418, b"recorded", {"x-own": "1"})
    assert answered.status_code == 200


async def test_recording_comes_before_a_scripted_failure(client: httpx.AsyncClient) -> None:
    await client.post("/simulator/recordings", json={**RECORDED, "model": "sim-down"})
    body = {**CHAT, "model": "sim-down"}
    statuses = [(await client.post("/v1/chat/completions", json=body)).status_code for _ in range(2)]
    assert statuses == [418, 503]


async def test_recordings_are_cleared(client: httpx.AsyncClient) -> None:
    await client.post("/simulator/recordings", json={"model": "gpt-4.1", "body": "recorded"})
    assert (await client.delete("/simulator/recordings")).status_code == 204
    assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
    assert (await client.get("/simulator/recordings")).json() == {"recordings": []}


@pytest.mark.parametrize("wish", [{}, [], None, {"model": "m"}, {"model": "m", "body": "x", "modle": "x"}])
async def test_recording_that_makes_no_sense_is_refused(client: httpx.AsyncClient, wish: Any) -> None:
    answer = await client.post("/simulator/recordings", json=wish)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Not a recording: ")


@pytest.mark.parametrize(
    "wish", [{}, {"fault": "nonsense"}, {"fault": "down", "provider": "nobody"}, {"fault": "down", "modle": "x"}, []]
)
async def test_wish_that_makes_no_sense_is_refused(client: httpx.AsyncClient, wish: Any) -> None:
    assert (await client.post("/simulator/faults", json=wish)).status_code == 422


async def test_codex_models_answer_on_responses_only(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/chat/completions", json={**CHAT, "model": "gpt-5.1-codex"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_the_list_of_models_has_their_ends(client: httpx.AsyncClient) -> None:
    listed = {entry["id"]: entry["shutdown_date"] for entry in (await client.get("/v1/models")).json()["data"]}
    assert listed["gpt-4.1"] == "2027-01-14"
    assert (await client.get("/v1/models/sim-404")).status_code == 404
    assert (await client.get("/v1/models/gpt-4.1")).json()["shutdown_date"] == "2027-01-14"


async def test_stream_is_modest(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert 20 <= answer.text.count("\ndata: ") <= 40
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_health(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok"}
