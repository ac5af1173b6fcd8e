"""The autoscaler's decisions: the last 200 are kept for people who want to know the reasons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.identity import Role
from app.storage.mongo import Database
from app.storage.scaling_log import KEPT
from tests.integration.api.callers import new_key, problem

PATH = "/v1/system/autoscaler"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def decision(number: int = 0, **fields: Any) -> dict[str, Any]:
    inputs = {
        "backlog": 180, "in_flight": 128, "oldest_age_seconds": 4.5, "arrival_rate": 3.0, "mean_service_seconds": 2.5,
        "rate_limited_share": 0.0, "open_breakers": ["openai"], "age_seconds": 0.4, "held_back": 3,
    }  # fmt: skip
    return {
        "at": (BEGAN + timedelta(seconds=number)).isoformat(), "deployment": "agents/worker", "replicas": number,
        "draining": 0, "slots_per_pod": 64, "staying": 3, "desired": 3, "reason": "backlog",
        "explanation": "3 workers instead of 2: 180 wait.", "inputs": inputs, **fields,
    }  # fmt: skip


async def test_a_decision_is_read_as_it_was_made(api: httpx.AsyncClient) -> None:
    made = await api.post(PATH, json=decision())
    assert made.status_code == 201

    read = (await api.get(PATH)).json()

    assert read["api_version"] == "v1"
    assert read["decisions"] == [{**decision(), "at": "2026-01-01T00:00:00.000000Z"}]
    assert made.json() == read["decisions"][0]


async def test_a_decision_without_figures_is_recorded(api: httpx.AsyncClient) -> None:
    await api.post(PATH, json=decision(inputs=None, desired=None, reason="no_data"))

    (read,) = (await api.get(PATH)).json()["decisions"]
    assert (read["inputs"], read["desired"]) == (None, None)


async def test_a_decision_submitted_again_is_recorded_once(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await api.post(PATH, json=decision())).status_code == 201

    assert len((await api.get(PATH)).json()["decisions"]) == 1


async def test_the_last_two_hundred_are_kept_the_newest_first(api: httpx.AsyncClient, database: Database) -> None:
    for number in range(KEPT + 5):
        await api.post(PATH, json=decision(number))

    read = (await api.get(PATH)).json()["decisions"]

    assert [entry["replicas"] for entry in read] == list(range(KEPT + 4, 4, -1))
    assert await database["scaling_decisions"].count_documents({}) == KEPT


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"deployment": "worker"}, "deployment"),
        ({"reason": "Because"}, "reason"),
        ({"replicas": -1}, "replicas"),
        ({"explanation": ""}, "explanation"),
        ({"at": "2026-01-01T00:00:00"}, "at"),
        ({"at": "0001-01-01T00:00:00+23:59"}, "at"),
        ({"at": "9999-12-31T23:59:59-23:59"}, "at"),
        ({"inputs": {}}, "inputs.backlog"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_wrong_field_is_named(api: httpx.AsyncClient, wrong: dict[str, Any], field: str) -> None:
    answer = await api.post(PATH, json=decision(**wrong))

    assert field in {error["field"] for error in problem(answer, 422, "INVALID_REQUEST")["errors"]}


async def test_a_client_neither_reads_nor_writes_decisions(keyed_api: httpx.AsyncClient, database: Database) -> None:
    headers = await new_key(database, Role.CLIENT)

    problem(await keyed_api.get(PATH, headers=headers), 403, "FORBIDDEN")
    problem(await keyed_api.post(PATH, headers=headers, json=decision()), 403, "FORBIDDEN")
