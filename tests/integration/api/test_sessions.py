"""Conversations and their erasure."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest

from app.domain.task import NewTask
from app.ports import StoredTask
from app.storage.mongo import Database
from app.storage.tasks import MongoTaskRepository
from tests.integration.api.callers import problem, submit
from tests.support.tasks import claim_once_dispatched

SECRET_TEXT = "my doctor said"


async def test_an_unknown_session_is_not_found(api: httpx.AsyncClient) -> None:
    problem(await api.get(f"/v1/sessions/{uuid.uuid4()}"), 404, "SESSION_NOT_FOUND")
    problem(await api.delete(f"/v1/sessions/{uuid.uuid4()}"), 404, "SESSION_NOT_FOUND")


async def test_erasing_removes_every_text_for_good(api: httpx.AsyncClient, database: Database) -> None:
    first = await submit(api, SECRET_TEXT, metadata={"note": SECRET_TEXT})
    second = await submit(api, SECRET_TEXT, session_id=first["session_id"])
    await claim_once_dispatched(database, second["task_id"])

    erased = await api.delete(f"/v1/sessions/{first['session_id']}")

    assert erased.status_code == 204
    for name in await database.list_collection_names():
        stored = await database[name].find({}).to_list()
        assert SECRET_TEXT not in json.dumps(stored, default=str), name


async def test_an_erased_session_and_its_tasks_are_gone(api: httpx.AsyncClient) -> None:
    accepted = await submit(api)
    session = f"/v1/sessions/{accepted['session_id']}"
    await api.delete(session)

    problem(await api.get(f"/v1/tasks/{accepted['task_id']}"), 410, "TASK_ERASED")
    problem(await api.post(f"/v1/tasks/{accepted['task_id']}/cancel"), 410, "TASK_ERASED")
    problem(await api.get(session), 410, "SESSION_ERASED")
    assert (await api.delete(session)).status_code == 204
    assert (await api.get("/v1/tasks")).json()["items"] == []


async def test_an_erased_session_is_not_continued(api: httpx.AsyncClient) -> None:
    accepted = await submit(api)
    await api.delete(f"/v1/sessions/{accepted['session_id']}")

    again = await api.post("/v1/agent/execute", json={"task": "x", "session_id": accepted["session_id"]})

    problem(again, 410, "SESSION_ERASED")


async def test_a_task_that_races_an_erasure_is_refused_and_leaves_no_text(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = (await submit(api))["session_id"]
    insert = MongoTaskRepository.insert

    async def insert_after_the_erasure(self: MongoTaskRepository, task: NewTask, **options: bool) -> StoredTask:
        await api.delete(f"/v1/sessions/{session_id}")
        return await insert(self, task, **options)

    monkeypatch.setattr(MongoTaskRepository, "insert", insert_after_the_erasure)
    late = await api.post("/v1/agent/execute", json={"task": "late secret", "session_id": session_id})

    problem(late, 410, "SESSION_ERASED")
    assert "late secret" not in str(await database["tasks"].find().to_list())
