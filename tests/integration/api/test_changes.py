"""The changes feed and the look-up of tasks, as the operator uses them."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from app.domain.identity import Role
from app.storage.mongo import Database
from tests.integration.api.callers import new_key, problem, submit
from tests.integration.api.test_bad_input import as_cursor
from tests.integration.api.test_tasks import finish

UID = str(uuid.uuid4())
SOURCE = {"cluster": "c1", "namespace": "team-a", "name": "article", "uid": UID}
FROM_THE_BEGINNING_OF_TIME = as_cursor([-62_135_596_795_000, "", -62_135_596_795_000, -62_135_596_795_000])
COMPLETE = {**SOURCE, "namespace_uid": str(uuid.uuid4()), "shift": str(uuid.uuid4())}


async def follow(api: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await api.get("/v1/tasks/changes", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_follower_sees_a_task_from_its_acceptance_to_its_end(
    api: httpx.AsyncClient, database: Database
) -> None:
    beginning = await follow(api)
    accepted = (
        await api.post(
            "/v1/agent/execute",
            json={"task": "Write about tides", "source": COMPLETE},
            headers={"Idempotency-Key": UID, "X-Tenant": "team-a"},
        )
    ).json()

    first = await follow(api, cursor=beginning["cursor"])
    await finish(database, accepted["task_id"])
    second = await follow(api, cursor=first["cursor"], wait_seconds=5)

    (queued,) = first["items"]
    assert (queued["task_id"], queued["tenant"], queued["status"]) == (accepted["task_id"], "team-a", "queued")
    assert (queued["idempotency_key"], queued["source"]["kind"]) == (UID, "agenttask")
    assert {name: queued["source"][name] for name in COMPLETE} == COMPLETE
    completed = second["items"][-1]
    assert (completed["status"], completed["selected_agent"], completed["erased"]) == ("completed", "CodeAgent", False)
    assert completed["usage"]["cost_usd"] == 1.234567
    assert completed["result"] == {"summary": "s", "size_bytes": None, "sha256": None}
    assert completed["rev"] > queued["rev"]
    assert "tides" not in str(first)
    assert not second["more"]


async def test_a_page_holds_as_many_as_asked_and_shows_when_there_are_more(api: httpx.AsyncClient) -> None:
    ids = {(await submit(api))["task_id"] for _ in range(5)}

    pages = [await follow(api, limit=2)]
    while pages[-1]["more"]:
        pages.append(await follow(api, limit=2, cursor=pages[-1]["cursor"]))

    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    assert {item["task_id"] for page in pages for item in page["items"]} == ids


async def test_tasks_are_looked_up_by_id_and_by_key(api: httpx.AsyncClient) -> None:
    answer = await api.post(
        "/v1/agent/execute",
        json={"task": "Write about tides"},
        headers={"Idempotency-Key": "k1", "X-Tenant": "team-a"},
    )
    keyed, other = answer.json()["task_id"], (await submit(api))["task_id"]

    async def look_up(body: dict[str, Any], tenant: str) -> set[str]:
        answer = await api.post("/v1/tasks/lookup", json=body, headers={"X-Tenant": tenant})
        assert answer.status_code == 200, answer.text
        return {item["task_id"] for item in answer.json()["items"]}

    assert await look_up({"ids": [keyed, other, str(uuid.uuid4())]}, "team-b") == {keyed, other}
    assert await look_up({"idempotency_keys": ["k1", "k2"]}, "team-a") == {keyed}
    assert await look_up({"idempotency_keys": ["k1"]}, "team-b") == set()


async def test_the_unfinished_tasks_of_a_cluster_come_page_by_page(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.changes.LOOKUP_ITEMS", 1)
    ids = sorted([(await submit(api, source=SOURCE))["task_id"] for _ in range(3)])
    await submit(api, source={**SOURCE, "cluster": "c2"})
    await finish(database, ids[0])

    body = {"source": {"cluster": "c1"}}
    first = (await api.post("/v1/tasks/lookup", json=body)).json()
    second = (await api.post("/v1/tasks/lookup", json={**body, "cursor": first["next_cursor"]})).json()

    assert [item["task_id"] for page in (first, second) for item in page["items"]] == ids[1:]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/v1/tasks/changes", {}),
        ("POST", "/v1/tasks/lookup", {"json": {"ids": [UID]}}),
        ("POST", "/v1/agent/execute", {"json": {"task": "Write about tides", "source": SOURCE}}),
    ],
)
async def test_a_client_is_refused(
    keyed_api: httpx.AsyncClient, database: Database, method: str, path: str, options: dict[str, Any]
) -> None:
    headers = await new_key(database, Role.CLIENT)

    problem(await keyed_api.request(method, path, headers=headers, **options), 403, "FORBIDDEN")
    assert (await keyed_api.request(method, path, **options)).status_code in (200, 202)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("GET", "/v1/tasks/changes?limit=0", None, "limit"),
        ("GET", "/v1/tasks/changes?limit=1001", None, "limit"),
        ("GET", "/v1/tasks/changes?wait_seconds=31", None, "wait_seconds"),
        ("GET", "/v1/tasks/changes?cursor=x", None, "cursor"),
        ("GET", f"/v1/tasks/changes?cursor={FROM_THE_BEGINNING_OF_TIME}", None, "cursor"),
        ("GET", "/v1/tasks/changes?since=1", None, "since"),
        ("POST", "/v1/tasks/lookup", {"source": {}}, "source.cluster"),
        ("POST", "/v1/tasks/lookup", {"source": {"cluster": "c1"}, "cursor": "x"}, "cursor"),
        ("POST", "/v1/tasks/lookup", {"ids": []}, "ids"),
        ("POST", "/v1/tasks/lookup", {"ids": ["1"]}, "ids"),
        ("POST", "/v1/tasks/lookup", {"idempotency_keys": ["with space"]}, "idempotency_keys"),
        ("POST", "/v1/agent/execute", {"task": "a", "source": {**SOURCE, "uid": "1"}}, "source.uid"),
        ("POST", "/v1/agent/execute", {"task": "a", "source": {"cluster": "c1"}}, "source.namespace"),
        ("POST", "/v1/agent/execute", {"task": "a", "source": {**SOURCE, "shift": "1"}}, "source.shift"),
    ],
)
async def test_a_wrong_field_or_parameter_is_named(
    api: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, field: str
) -> None:
    refused = problem(await api.request(method, path, json=body), 422, "INVALID_REQUEST")

    assert any(error["field"].startswith(field) for error in refused["errors"]), refused


@pytest.mark.parametrize("body", [{}, {"ids": [UID], "idempotency_keys": ["k"]}, {"ids": [UID], "cursor": "x"}])
async def test_a_lookup_names_one_kind_of_name(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    problem(await api.post("/v1/tasks/lookup", json=body), 422, "INVALID_REQUEST")
