"""The changes feed, on the embedded server and on any MongoDB that the tests are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.identity import Tenant
from app.domain.task import Source, TaskResult, TaskStatus
from app.ports import ChangePosition, RunUpdate
from app.storage.changes import MongoChangeRepository
from app.storage.mongo import Database
from tests.support.tasks import TENANT, claim_repository, claimed_task, new_task, step, task_repository

BEGINNING = ChangePosition(datetime(2020, 1, 1, tzinfo=UTC))
SOURCE = Source(kind="agenttask", cluster="c1", namespace="team", name="article", uid="u1")


async def test_a_finished_task_is_told_with_its_digest_and_without_its_texts(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database, source=SOURCE, idempotency_key="u1")
    result = TaskResult.of("x" * 5_000, summary="Many x.")
    await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), result)

    page = await MongoChangeRepository(indexed_database).after(BEGINNING, limit=10)

    (change,) = page.items
    assert (change.id, change.tenant, change.status, change.rev) == (task.id, TENANT, TaskStatus.COMPLETED, 3)
    assert (change.source.cluster, change.source.name, change.idempotency_key) == ("c1", "article", "u1")
    assert change.result is not None
    assert (change.result.summary, change.result.size_bytes, change.result.sha256) == ("Many x.", 5_000, result.sha256)
    assert "x" * 1_000 not in change.model_dump_json()
    assert page.end == ChangePosition(change.changed_at, task.id)
    assert not page.full


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_hold_every_task_once_also_where_many_changed_at_the_same_time(
    indexed_database: Database, limit: int
) -> None:
    tasks = task_repository(indexed_database)
    ids = [(await tasks.insert(new_task(), dispatched=False, new_session=True)).task.id for _ in range(7)]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number, task_id in enumerate(ids):
        changed_at = moment + timedelta(milliseconds=number // 3)
        await indexed_database["tasks"].update_one({"_id": task_id}, {"$set": {"changed_at": changed_at}})
    changes, position, seen, full = MongoChangeRepository(indexed_database), BEGINNING, [], True

    while full:
        page = await changes.after(position, limit=limit)
        position, full = page.end, page.full
        seen += [(change.changed_at, change.id) for change in page.items]

    assert seen == sorted(seen)
    assert sorted(task_id for _, task_id in seen) == sorted(ids)


async def test_a_document_that_is_not_understood_does_not_stop_the_reader(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    strange, usual = [(await tasks.insert(new_task(), dispatched=False, new_session=True)).task for _ in range(2)]
    await indexed_database["tasks"].update_one({"_id": strange.id}, {"$set": {"status": "dreaming"}})
    changes = MongoChangeRepository(indexed_database)

    first = await changes.after(BEGINNING, limit=1)
    second = await changes.after(first.end, limit=1)

    assert [change.id for page in (first, second) for change in page.items] == [usual.id]
    assert first.full


async def test_tasks_of_any_tenant_are_found_and_erased_ones_are_marked(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    kept = (await tasks.insert(new_task(), dispatched=False, new_session=True)).task
    erased = (await tasks.insert(new_task("secret", tenant=Tenant("other")), dispatched=False, new_session=True)).task
    await tasks.erase_session(erased.tenant, erased.session_id)

    found = await MongoChangeRepository(indexed_database).find([kept.id, erased.id, new_task().id])

    assert {change.id: change.erased_at is not None for change in found} == {kept.id: False, erased.id: True}


async def test_what_a_cluster_has_open_comes_page_by_page(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    other = SOURCE.model_copy(update={"cluster": "c2"})
    mine = [(await tasks.insert(new_task(source=SOURCE), dispatched=False, new_session=True)).task for _ in range(5)]
    await tasks.insert(new_task(source=other), dispatched=False, new_session=True)
    await tasks.insert(new_task(), dispatched=False, new_session=True)
    await tasks.request_cancel(TENANT, mine[0].id)
    running, _ = await claimed_task(indexed_database, source=SOURCE)
    changes = MongoChangeRepository(indexed_database)

    first, last_id = await changes.unfinished(cluster="c1", after="", limit=3)
    second, end = await changes.unfinished(cluster="c1", after=last_id or "", limit=3)

    assert [change.id for change in (*first, *second)] == sorted([task.id for task in mine[1:]] + [running.id])
    assert end is None


async def test_a_page_that_holds_what_is_not_understood_is_not_the_last_one(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    ids = sorted(
        [(await tasks.insert(new_task(source=SOURCE), dispatched=False, new_session=True)).task.id for _ in "ab"]
    )
    await indexed_database["tasks"].update_one({"_id": ids[0]}, {"$set": {"attempts": "many"}})

    found, last_id = await MongoChangeRepository(indexed_database).unfinished(cluster="c1", after="", limit=1)

    assert (found, last_id) == ([], ids[0])


async def test_the_servers_time_is_not_before_a_change_that_is_seen(indexed_database: Database) -> None:
    await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)
    changes = MongoChangeRepository(indexed_database)

    now = await changes.now()

    (change,) = (await changes.after(BEGINNING, limit=10)).items
    assert timedelta() <= now - change.changed_at < timedelta(minutes=1)
