"""The time for which an accepted task is kept: its caller's, or the installation's."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.domain.task import TaskError
from app.ports import RunUpdate
from app.settings import RetentionSettings
from app.storage.mongo import Database
from tests.integration.api.callers import submit
from tests.integration.api.conftest import BOOTSTRAP_KEY, StartApi
from tests.support.tasks import claim_once_dispatched, claim_repository

DAY = 86_400


async def kept(database: Database, task_id: str) -> timedelta | None:
    """Returns how long after its end the task is removed; None if it stays."""
    document = await database["tasks"].find_one({"_id": task_id})
    assert document is not None
    remove_at = document.get("remove_at")
    return None if remove_at is None else remove_at - document["completed_at"]


@pytest.mark.parametrize(
    ("asked", "installation", "seconds"), [(None, 90 * DAY, 90 * DAY), (60, 90 * DAY, 60), (None, 0, None)]
)
async def test_a_cancelled_task_goes_after_the_time_of_its_caller_or_of_the_installation(
    start_api: StartApi, database: Database, asked: int | None, installation: int, seconds: int | None
) -> None:
    retention = RetentionSettings(task_seconds=installation)
    fields: dict[str, Any] = {} if asked is None else {"ttl_seconds": asked}
    async with start_api(groups={"retention": retention}) as api:
        accepted = await submit(api, **fields)
        await api.post(f"/v1/tasks/{accepted['task_id']}/cancel")
        task = (await api.get(f"/v1/tasks/{accepted['task_id']}")).json()

    assert (task["status"], task["ttl_seconds"]) == ("cancelled", seconds)
    assert await kept(database, accepted["task_id"]) == (None if seconds is None else timedelta(seconds=seconds))


async def test_a_worker_ends_a_task_with_the_time_that_was_stored_with_it(
    api: httpx.AsyncClient, database: Database
) -> None:
    accepted = await submit(api)
    _, held = await claim_once_dispatched(database, accepted["task_id"])
    error = TaskError(type="AGENT_FAULT", message="m")

    assert await claim_repository(database).fail(held, RunUpdate(), error, None)

    assert await kept(database, accepted["task_id"]) == timedelta(days=90)


async def test_an_agenttask_that_stays_longer_than_the_installation_allows_is_taken_and_shortened(
    start_api: StartApi,
) -> None:
    """The operator does not know the limit, so it cannot obey it."""
    source = {"cluster": "here", "namespace": "default", "name": "poem", "uid": str(uuid.uuid4())}
    groups = {"retention": RetentionSettings(max_ttl_seconds=7 * DAY)}
    async with start_api(groups=groups, auth="on", bootstrap_service_key=SecretStr(BOOTSTRAP_KEY)) as api:
        api.headers["Authorization"] = f"Bearer {BOOTSTRAP_KEY}"
        accepted = await submit(api, ttl_seconds=8 * DAY, source=source)
        task = (await api.get(f"/v1/tasks/{accepted['task_id']}")).json()

    assert task["ttl_seconds"] == 7 * DAY


async def test_a_repeat_of_a_request_counts_the_same_whatever_the_installation_keeps(start_api: StartApi) -> None:
    key = {"Idempotency-Key": "k"}
    ids = []
    for seconds in (90 * DAY, 30 * DAY):
        async with start_api(groups={"retention": RetentionSettings(task_seconds=seconds)}) as api:
            answer = await api.post("/v1/agent/execute", json={"task": "Write about tides"}, headers=key)
            ids.append(answer.json()["task_id"])

    assert ids[0] == ids[1]
