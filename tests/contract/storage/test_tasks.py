"""Insert, read, list, cancel and erase, on the embedded server and on any MongoDB that the tests are given."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.task import Budget, TaskStatus
from app.errors import InvalidRequest, StoreError, TaskErased, TaskNotFound
from app.ports import RunUpdate, StoredTask, TaskFilter
from app.storage.mongo import Database
from tests.support.tasks import (
    TENANT,
    claim,
    claim_repository,
    claimed_task,
    new_task,
    task_repository,
    upkeep_repository,
)

OTHER = Tenant("other")


async def test_a_task_is_read_back_as_it_was_accepted(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    task = new_task("$rev and $$NOW stay text", metadata={"team": "$a"}, budget=Budget(max_tokens=5), priority=3)

    accepted = (await tasks.insert(task, dispatched=True, new_session=True)).task
    stored = await tasks.get(TENANT, task.id)

    assert stored.task == "$rev and $$NOW stay text"
    assert stored.metadata == {"team": "$a"}
    assert stored.budget == Budget(max_tokens=5)
    assert stored.status is TaskStatus.QUEUED
    assert stored.messages[0].content == task.task
    assert [event.name for event in stored.events] == ["task_queued"]
    assert (stored.queued_at, stored.due_at, stored.dispatched_at) == (accepted.queued_at,) * 3
    assert stored.history == ()
    assert abs(datetime.now(UTC) - stored.created_at) < timedelta(minutes=1)


async def test_inserting_the_same_id_again_returns_the_stored_task(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    task = new_task("first")
    await tasks.insert(task, dispatched=False, new_session=True)

    again = await tasks.insert(task.model_copy(update={"task": "second"}), dispatched=False, new_session=True)

    assert not again.is_new
    assert again.task.task == "first"
    assert again.task.rev == 1


async def test_tasks_that_go_in_one_request_have_each_their_own_answer(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    known = (await tasks.insert(new_task("known"), dispatched=False, new_session=True)).task
    labels = {"app.kubernetes.io/name": "tides", "$price": "$1"}
    inserted = [
        new_task("first"),
        new_task("again", id=known.id),
        new_task("bad", metadata={"a\0b": ""}),
        new_task("last", metadata=labels),
    ]

    answers = await asyncio.gather(
        *(tasks.insert(task, dispatched=False, new_session=True) for task in inserted), return_exceptions=True
    )

    texts = [answer.task.task if isinstance(answer, StoredTask) else type(answer) for answer in answers]
    assert texts == ["first", "known", StoreError, "last"]
    assert (await tasks.get(TENANT, inserted[3].id)).metadata == labels


async def test_another_tenants_task_is_not_found(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    task = (await tasks.insert(new_task(), dispatched=False, new_session=True)).task

    with pytest.raises(TaskNotFound):
        await tasks.get(OTHER, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.has_ended(OTHER, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.request_cancel(OTHER, task.id)


async def test_a_task_has_ended_when_no_run_of_it_follows(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    running, held = await claimed_task(indexed_database)
    before = await tasks.has_ended(TENANT, running.id)
    await claim_repository(indexed_database).cancel(held, RunUpdate())

    assert (before, await tasks.has_ended(TENANT, running.id)) == (False, True)


async def test_a_delayed_task_is_due_at_its_time(indexed_database: Database) -> None:
    run_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

    task = (
        await task_repository(indexed_database).insert(new_task(run_at=run_at), dispatched=False, new_session=True)
    ).task

    assert (await task_repository(indexed_database).get(TENANT, task.id)).due_at == run_at
    assert await claim_repository(indexed_database).claim(task.id, claim_id="c") is None


async def test_pages_hold_every_task_once_while_tasks_are_added(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    ids = [(await tasks.insert(new_task(f"task {n}"), dispatched=False, new_session=True)).task.id for n in range(7)]

    first = await tasks.find_page(TENANT, TaskFilter(), cursor=None, limit=3)
    await tasks.insert(new_task("late"), dispatched=False, new_session=True)
    second = await tasks.find_page(TENANT, TaskFilter(), cursor=first.next_cursor, limit=3)
    third = await tasks.find_page(TENANT, TaskFilter(), cursor=second.next_cursor, limit=3)

    listed = [item.id for page in (first, second, third) for item in page.items]
    assert sorted(listed) == sorted(ids)
    assert third.next_cursor is None
    assert first.items[0].task_preview == "task 6"


async def test_lists_are_filtered(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    session = SessionId(str(uuid.uuid4()))
    wanted = (
        await tasks.insert(new_task("Tides (of war)", session_id=session), dispatched=False, new_session=True)
    ).task
    await tasks.insert(new_task("Moons"), dispatched=False, new_session=True)
    await tasks.insert(new_task("Tides (of war)", tenant=OTHER), dispatched=False, new_session=True)
    now = datetime.now(UTC)

    async def listed(task_filter: TaskFilter) -> list[TaskId]:
        return [item.id for item in (await tasks.find_page(TENANT, task_filter, cursor=None, limit=10)).items]

    assert await listed(TaskFilter(text="tides (OF")) == [wanted.id]
    assert await listed(TaskFilter(session_id=session)) == [wanted.id]
    assert await listed(TaskFilter(status=TaskStatus.FAILED)) == []
    assert await listed(TaskFilter(agent_type="code")) == []
    assert await listed(TaskFilter(id_prefix=wanted.id[:13])) == [wanted.id]
    assert await listed(TaskFilter(id_prefix=wanted.id)) == [wanted.id]
    assert await listed(TaskFilter(id_prefix="0000")) == []
    hour = timedelta(hours=1)
    assert len(await listed(TaskFilter(created_from=now - hour, created_to=now + hour))) == 2
    assert await listed(TaskFilter(created_to=now - hour)) == []


@pytest.mark.parametrize("cursor", ["", "x", "bm90IGpzb24", "WzEsMl0", "W251bGwsICJhIl0", "é"])
async def test_a_foreign_cursor_is_refused(indexed_database: Database, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await task_repository(indexed_database).find_page(TENANT, TaskFilter(), cursor=cursor, limit=3)
    assert refused.value.fields[0][0] == "cursor"


async def test_cancelling_a_queued_task_ends_it_and_twice_is_once(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    task = (await tasks.insert(new_task(), dispatched=True, new_session=True)).task

    cancelled = await tasks.request_cancel(TENANT, task.id)
    again = await tasks.request_cancel(TENANT, task.id)

    assert cancelled.status is TaskStatus.CANCELLED
    assert cancelled.completed_at is not None
    assert again.rev == cancelled.rev
    assert await claim_repository(indexed_database).claim(task.id, claim_id="c") is None


async def test_cancelling_a_running_task_flags_it_for_its_worker(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)

    flagged = await task_repository(indexed_database).request_cancel(TENANT, task.id)
    heartbeat = await claim_repository(indexed_database).heartbeat([held])

    assert flagged.status is TaskStatus.PROCESSING
    assert flagged.cancel_requested_at is not None
    assert heartbeat.cancelled == {held.claim_id}


async def test_an_erased_session_leaves_tombstones_without_texts(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    session = SessionId(str(uuid.uuid4()))
    queued = (await tasks.insert(new_task("secret wish", session_id=session), dispatched=True, new_session=True)).task
    running = (await tasks.insert(new_task("secret too", session_id=session), dispatched=True, new_session=False)).task
    _, held = await claim(indexed_database, running.id)
    kept = (await tasks.insert(new_task("other session"), dispatched=False, new_session=True)).task

    erased = await tasks.erase_session(TENANT, session)

    assert sorted(erased) == sorted([queued.id, running.id])
    for task_id in erased:
        with pytest.raises(TaskErased):
            await tasks.get(TENANT, task_id)
        with pytest.raises(TaskErased):
            await tasks.has_ended(TENANT, task_id)
    assert "secret" not in str(await indexed_database["tasks"].find({"_id": {"$in": list(erased)}}).to_list())
    assert (await claim_repository(indexed_database).heartbeat([held])).lost == {held.claim_id}
    assert (await tasks.get(TENANT, kept.id)).task == "other session"


async def test_fifty_inserts_of_one_id_make_one_task(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    task = new_task()

    stored = await asyncio.gather(*(tasks.insert(task, dispatched=False, new_session=True) for _ in range(50)))

    assert {one.task.id for one in stored} == {task.id}
    assert sum(one.is_new for one in stored) == 1
    assert await indexed_database["tasks"].count_documents({}) == 1


async def test_a_task_whose_due_time_has_passed_expires_counted_from_its_acceptance(
    indexed_database: Database,
) -> None:
    run_at = datetime.now(UTC) - timedelta(days=2)
    tasks = task_repository(indexed_database)
    task = (await tasks.insert(new_task(run_at=run_at), dispatched=False, new_session=True)).task

    swept = await upkeep_repository(indexed_database).sweep()

    assert swept.failed == {}
    assert (await tasks.get(TENANT, task.id)).status is TaskStatus.QUEUED
