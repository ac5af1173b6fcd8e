"""The removal of tasks, lifecycle events, sessions and idempotency keys whose time is over."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.identity import SessionId, TaskId
from app.domain.task import Task
from app.errors import SessionErased, SessionNotFound, StoreUnavailable
from app.ports import RunUpdate
from app.storage import retention as retention_module
from app.storage.idempotency import MongoIdempotencyRepository
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository, remove_copies
from app.storage.sessions import MongoSessionRepository
from tests.contract.storage.test_claims import RESULT
from tests.support.tasks import (
    TENANT,
    claim_repository,
    claimed_task,
    new_task,
    retention_repository,
    step,
    task_repository,
)

LONG_AGO = datetime.now(UTC) - timedelta(days=400)
COPIES = ("agent_runs", "messages", "logs")


async def completed_task(db: Database, *, ttl_seconds: int | None = None) -> Task:
    """Completes and projects a task."""
    task, held = await claimed_task(db, ttl_seconds=ttl_seconds)
    await claim_repository(db).complete(held, RunUpdate(steps=[step()]), RESULT)
    await MongoProjectionRepository(db, patience_seconds=0).project([task.id])
    return task


async def outlive(db: Database, *task_ids: TaskId) -> None:
    """Lets the time to live of the tasks be over."""
    past = {"$set": {"remove_at": datetime.now(UTC) - timedelta(seconds=5)}}
    await db["tasks"].update_many({"_id": {"$in": list(task_ids)}}, past)


async def ids(db: Database, collection: str) -> set[str]:
    return {document["_id"] for document in await db[collection].find({}, {"_id": 1}).to_list()}


async def test_a_finished_task_goes_after_its_time_to_live_and_its_projections_with_it(
    indexed_database: Database,
) -> None:
    gone = await completed_task(indexed_database, ttl_seconds=60)
    kept = await completed_task(indexed_database, ttl_seconds=60)
    for_ever = await completed_task(indexed_database)
    await outlive(indexed_database, gone.id)

    assert not await retention_repository(indexed_database).remove_tasks()

    assert await ids(indexed_database, "tasks") == {kept.id, for_ever.id}
    for collection in COPIES:
        owners = await indexed_database[collection].distinct("task_id")
        assert set(owners) == {kept.id, for_ever.id}


async def test_a_full_batch_of_outlived_tasks_reports_that_there_may_be_more(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "TASK_BATCH", 2)
    tasks = [(await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task.id]
    tasks += [(await claimed_task(indexed_database))[0].id for _ in range(2)]
    await outlive(indexed_database, *tasks)
    retention = retention_repository(indexed_database)

    assert [await retention.remove_tasks() for _ in range(2)] == [True, False]

    assert await ids(indexed_database, "tasks") == set()


async def test_the_key_of_a_removed_task_makes_no_other_one_before_its_age(indexed_database: Database) -> None:
    """An API died between the insert and the mark, so the record of the key is still open."""
    keys = MongoIdempotencyRepository(indexed_database)
    task = new_task(ttl_seconds=1, idempotency_key="k")
    await keys.reserve(TENANT, "k", body_hash="h", task_id=task.id)
    await task_repository(indexed_database).insert(task, dispatched=False, new_session=True)
    await outlive(indexed_database, task.id)
    retention = retention_repository(indexed_database)

    await retention.remove_tasks()
    await retention.remove_keys()

    assert await ids(indexed_database, "tasks") == set()
    record = await keys.find(TENANT, "k")
    assert record is not None
    assert record.accepted


async def test_a_leader_that_dies_while_it_removes_a_task_leaves_no_copies_for_ever(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await completed_task(indexed_database, ttl_seconds=60)
    await outlive(indexed_database, task.id)
    rounds = 0

    async def remove_and_die_first(db: Database, task_ids: Sequence[str]) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise StoreUnavailable("the leader is gone")
        await remove_copies(db, task_ids)

    monkeypatch.setattr(retention_module, "remove_copies", remove_and_die_first)
    retention = retention_repository(indexed_database)
    with pytest.raises(StoreUnavailable):
        await retention.remove_tasks()
    await retention.remove_tasks()

    for collection in ("tasks", *COPIES):
        assert await indexed_database[collection].count_documents({}) == 0


async def test_lifecycle_events_go_after_their_retention(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "EVENT_BATCH", 2)
    now = datetime.now(UTC)
    old = [{"_id": f"old-{number}", "at": now - timedelta(hours=3)} for number in range(3)]
    await indexed_database["logs"].insert_many([*old, {"_id": "new", "at": now}])
    retention = retention_repository(indexed_database, log_seconds=3_600)

    assert [await retention.remove_events() for _ in range(2)] == [True, False]

    assert await ids(indexed_database, "logs") == {"new"}


async def session_used_at(db: Database, moment: datetime) -> SessionId:
    session_id = SessionId(str(uuid.uuid4()))
    await db["sessions"].insert_one({"_id": session_id, "tenant": TENANT, "created_at": LONG_AGO, "updated_at": moment})
    return session_id


async def test_a_session_goes_that_was_not_used_for_long_and_has_no_task(indexed_database: Database) -> None:
    unused = await session_used_at(indexed_database, LONG_AGO)
    lately_used = await session_used_at(indexed_database, datetime.now(UTC))
    with_a_task = await session_used_at(indexed_database, LONG_AGO)
    await task_repository(indexed_database).insert(
        new_task(session_id=with_a_task), dispatched=False, new_session=False
    )
    await indexed_database["sessions"].insert_one({"_id": "foreign", "updated_at": "yesterday"})

    assert not await retention_repository(indexed_database).remove_sessions()

    assert await ids(indexed_database, "sessions") == {lately_used, with_a_task, "foreign"}
    with pytest.raises(SessionNotFound):
        await MongoSessionRepository(indexed_database).get(TENANT, unused)


async def test_the_session_of_a_removed_task_goes_too(indexed_database: Database) -> None:
    task = await completed_task(indexed_database, ttl_seconds=60)
    retention = retention_repository(indexed_database)
    await indexed_database["sessions"].update_many({}, {"$set": {"created_at": LONG_AGO, "updated_at": LONG_AGO}})
    await retention.remove_sessions()
    assert await ids(indexed_database, "sessions") == {task.session_id}
    await outlive(indexed_database, task.id)

    await retention.remove_tasks()
    await retention.remove_sessions()

    assert await ids(indexed_database, "sessions") == set()


async def test_the_tombstone_of_an_erased_session_stays_for_the_whole_time(indexed_database: Database) -> None:
    erased = await session_used_at(indexed_database, LONG_AGO)
    sessions, retention = MongoSessionRepository(indexed_database), retention_repository(indexed_database)
    await sessions.erase(TENANT, erased)

    await retention.remove_sessions()
    with pytest.raises(SessionErased):
        await sessions.get(TENANT, erased)
    await indexed_database["sessions"].update_many({}, {"$set": {"erased_at": LONG_AGO}})
    await retention.remove_sessions()

    assert await ids(indexed_database, "sessions") == set()


async def test_a_session_that_is_erased_while_it_is_looked_at_keeps_its_tombstone(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await session_used_at(indexed_database, LONG_AGO)
    sessions, retention = MongoSessionRepository(indexed_database), retention_repository(indexed_database)
    find_values = retention._values

    async def erase_meanwhile(field: str, candidates: Sequence[object]) -> set[object]:
        await sessions.erase(TENANT, session_id)
        return await find_values(field, candidates)

    monkeypatch.setattr(retention, "_values", erase_meanwhile)
    await retention.remove_sessions()

    with pytest.raises(SessionErased):
        await sessions.get(TENANT, session_id)


async def test_the_walk_reaches_every_session_and_begins_anew(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "WALK_BATCH", 2)
    retention = retention_repository(indexed_database)
    for _ in range(2):
        for _ in range(5):
            await session_used_at(indexed_database, LONG_AGO)
        assert [await retention.remove_sessions() for _ in range(3)] == [True, True, False]
        assert await ids(indexed_database, "sessions") == set()


async def test_a_key_goes_at_its_age_but_not_before_its_task(indexed_database: Database) -> None:
    keys, retention = MongoIdempotencyRepository(indexed_database), retention_repository(indexed_database)
    task = new_task(idempotency_key="stored")
    await task_repository(indexed_database).insert(task, dispatched=False, new_session=True)
    await keys.reserve(TENANT, "stored", body_hash="h", task_id=task.id)
    await keys.reserve(TENANT, "gone", body_hash="h", task_id=TaskId("gone"))
    await indexed_database["idempotency_keys"].update_many({}, {"$set": {"created_at": LONG_AGO}})
    await keys.reserve(TENANT, "young", body_hash="h", task_id=TaskId("young"))

    await retention.remove_keys()

    assert await ids(indexed_database, "idempotency_keys") == {f"{TENANT}:stored", f"{TENANT}:young"}
    again = await keys.reserve(TENANT, "gone", body_hash="other", task_id=TaskId("second"))
    assert (again.task_id, again.accepted) == ("second", False)


async def test_an_old_key_whose_task_is_about_to_be_stored_stays(indexed_database: Database) -> None:
    """An API died before the insert, and the request is repeated long after, just when the leader looks at the key."""
    keys, retention = MongoIdempotencyRepository(indexed_database), retention_repository(indexed_database)
    await keys.reserve(TENANT, "k", body_hash="h", task_id=TaskId("first"))
    await indexed_database["idempotency_keys"].update_many({}, {"$set": {"created_at": LONG_AGO}})

    repeated = await keys.reserve(TENANT, "k", body_hash="h", task_id=TaskId("second"))
    await retention.remove_keys()

    assert (repeated.task_id, repeated.accepted) == ("first", False)
    assert await keys.find(TENANT, "k") == repeated
