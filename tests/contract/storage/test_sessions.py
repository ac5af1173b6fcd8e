"""Sessions: their owner, their content, and their erasure."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from app.domain.identity import SessionId, Tenant
from app.errors import SessionErased, SessionNotFound
from app.storage import sessions as sessions_module
from app.storage.mongo import Database
from app.storage.sessions import MongoSessionRepository
from tests.support.tasks import TENANT, new_task, task_repository

OTHER = Tenant("globex")


@pytest.fixture
def sessions(indexed_database: Database) -> MongoSessionRepository:
    return MongoSessionRepository(indexed_database)


@pytest.fixture
def session_id() -> SessionId:
    return SessionId(str(uuid.uuid4()))


async def test_opening_twice_is_opening_once(sessions: MongoSessionRepository, session_id: SessionId) -> None:
    await asyncio.gather(*(sessions.open(TENANT, session_id) for _ in range(10)))

    assert (await sessions.get(TENANT, session_id)).task_ids == ()


async def test_of_two_tenants_that_open_one_session_one_gets_it(
    sessions: MongoSessionRepository, session_id: SessionId
) -> None:
    opened = await asyncio.gather(
        *(sessions.open(tenant, session_id) for tenant in (TENANT, OTHER)), return_exceptions=True
    )

    assert sorted(type(answer).__name__ for answer in opened) == ["NoneType", "SessionNotFound"]


async def test_a_session_that_only_tasks_know_belongs_to_their_tenant(
    sessions: MongoSessionRepository, session_id: SessionId, indexed_database: Database
) -> None:
    task = (
        await task_repository(indexed_database).insert(
            new_task("hello", session_id=session_id), dispatched=False, new_session=True
        )
    ).task

    with pytest.raises(SessionNotFound):
        await sessions.open(OTHER, session_id)
    with pytest.raises(SessionNotFound):
        await sessions.get(OTHER, session_id)
    session = await sessions.get(TENANT, session_id)
    assert session.task_ids == (task.id,)
    assert session.created_at == task.created_at


async def test_messages_are_the_last_turns_oldest_first(
    sessions: MongoSessionRepository, session_id: SessionId, indexed_database: Database
) -> None:
    for text in ("one", "two", "three"):
        await task_repository(indexed_database).insert(
            new_task(text, session_id=session_id), dispatched=False, new_session=False
        )

    messages = await sessions.messages(TENANT, session_id, limit=2)

    assert [message.content for message in messages] == ["two", "three"]
    assert await sessions.messages(OTHER, session_id, limit=2) == []


@pytest.mark.parametrize("opened", [True, False])
async def test_an_erased_session_stays_erased(
    sessions: MongoSessionRepository, session_id: SessionId, *, opened: bool
) -> None:
    if opened:
        await sessions.open(TENANT, session_id)
    await sessions.erase(TENANT, session_id)
    await sessions.erase(TENANT, session_id)

    with pytest.raises(SessionErased):
        await sessions.get(TENANT, session_id)
    with pytest.raises(SessionErased):
        await sessions.open(TENANT, session_id)
    with pytest.raises(SessionNotFound):
        await sessions.open(OTHER, session_id)


async def test_messages_of_a_kind_that_is_not_known_are_left_out(indexed_database: Database) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task
    strange = {"role": "oracle", "content": "42", "created_at": task.created_at}
    await indexed_database["tasks"].update_one({"_id": task.id}, {"$push": {"messages": strange}})

    messages = await MongoSessionRepository(indexed_database).messages(TENANT, task.session_id, limit=10)

    assert [message.content for message in messages] == [task.task]


async def test_an_answer_of_very_long_turns_has_fewer_of_them(
    sessions: MongoSessionRepository,
    session_id: SessionId,
    indexed_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_module, "SHOWN_CHARACTERS", 50)
    for text in ("one", "two" * 20, "three" * 20):
        await task_repository(indexed_database).insert(
            new_task(text, session_id=session_id), dispatched=False, new_session=False
        )

    messages = await sessions.messages(TENANT, session_id, limit=10)

    assert [message.content for message in messages] == ["three" * 20]
