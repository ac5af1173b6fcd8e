"""The lanes of queued tasks: every write leaves the task in the lane that its fields ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.fairness import QUARANTINE_CRASHES, Lane
from app.domain.identity import TaskId
from app.domain.task import Requeue
from app.ports import RunUpdate
from app.storage import lanes as lanes_module
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import Database
from tests.support.tasks import (
    TENANT,
    claim_repository,
    claimed_task,
    new_task,
    task_repository,
    upkeep_repository,
    waiting_document,
)

NOW = datetime.now(UTC)
AN_HOUR = timedelta(hours=1)


async def lane_of(db: Database, task_id: TaskId) -> tuple[str | None, datetime | None]:
    document = await db["tasks"].find_one({"_id": task_id})
    assert document is not None
    return document.get("lane"), document.get("delayed_until")


async def found(db: Database, lane: Lane = Lane.READY) -> list[TaskId]:
    tasks = await MongoDispatchRepository(db).find_waiting(lane, [TENANT], 10)
    return [task.task_id for task in tasks[TENANT]]


@pytest.mark.parametrize(
    ("fields", "dispatched", "lane"),
    [
        ({}, False, "ready"),
        ({}, True, "dispatched"),
        ({"run_at": NOW.replace(microsecond=0) + AN_HOUR}, False, "delayed"),
    ],
)
async def test_an_accepted_task_enters_its_lane(
    indexed_database: Database, fields: dict[str, Any], dispatched: bool, lane: str
) -> None:
    task = (
        await task_repository(indexed_database).insert(new_task(**fields), dispatched=dispatched, new_session=True)
    ).task

    assert await lane_of(indexed_database, task.id) == (lane, fields.get("run_at"))


async def test_a_released_task_is_in_no_other_lane(indexed_database: Database) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task
    dispatch = MongoDispatchRepository(indexed_database)

    await dispatch.release((await dispatch.find_waiting(Lane.READY, [TENANT], 1))[TENANT])

    assert await lane_of(indexed_database, task.id) == ("dispatched", None)
    await dispatch.take_back([task.id])
    assert await lane_of(indexed_database, task.id) == ("ready", None)


@pytest.mark.parametrize(
    ("reason", "delay_seconds", "crashes", "lane"),
    [
        (Requeue.HANDBACK, 0, 0, "ready"),
        (Requeue.RETRY, 60, 0, "delayed"),
        (Requeue.HANDBACK, 0, QUARANTINE_CRASHES, "quarantined"),
        (Requeue.POSTPONED, 60, QUARANTINE_CRASHES, "delayed"),
        (Requeue.CRASH, 0, QUARANTINE_CRASHES - 2, "ready"),
        (Requeue.CRASH, 0, QUARANTINE_CRASHES - 1, "quarantined"),
    ],
)
async def test_a_requeued_task_enters_its_lane(
    indexed_database: Database, reason: Requeue, delay_seconds: float, crashes: int, lane: str
) -> None:
    task, held = await claimed_task(indexed_database)
    await indexed_database["tasks"].update_one({"_id": task.id}, {"$set": {"crashes": crashes}})

    await claim_repository(indexed_database).requeue(
        held, RunUpdate(), reason=reason, delay_seconds=delay_seconds, error=None
    )

    reached, delayed_until = await lane_of(indexed_database, task.id)
    assert reached == lane
    assert (delayed_until is not None) == (lane == "delayed")


@pytest.mark.parametrize(("crashes", "lane"), [(0, Lane.READY), (QUARANTINE_CRASHES, Lane.QUARANTINED)])
async def test_a_delayed_task_that_is_due_is_found(indexed_database: Database, crashes: int, lane: Lane) -> None:
    early = new_task(run_at=NOW - timedelta(seconds=30))
    await task_repository(indexed_database).insert(early, dispatched=False, new_session=True)
    later = (
        await task_repository(indexed_database).insert(
            new_task(run_at=NOW + AN_HOUR), dispatched=False, new_session=True
        )
    ).task
    await indexed_database["tasks"].update_one({"_id": early.id}, {"$set": {"crashes": crashes}})

    await MongoDispatchRepository(indexed_database).sort_into_lanes()

    assert await found(indexed_database, lane) == [early.id]
    assert await lane_of(indexed_database, early.id) == (lane.value, None)
    assert (await lane_of(indexed_database, later.id))[0] == "delayed"


async def test_a_delayed_task_that_ends_leaves_no_time_behind(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    task = (await tasks.insert(new_task(run_at=NOW + AN_HOUR), dispatched=False, new_session=True)).task

    await tasks.request_cancel(TENANT, task.id)

    assert (await lane_of(indexed_database, task.id))[1] is None


async def insert_old(db: Database, **fields: Any) -> TaskId:
    """Inserts a task as version 0.1 does, without a lane."""
    document = {**waiting_document("old", tenant=TENANT), **fields}
    del document["lane"]
    await db["tasks"].insert_one(document)
    return TaskId(document["_id"])


@pytest.mark.parametrize(
    ("fields", "lane"),
    [
        ({}, "ready"),
        ({"due_at": NOW + AN_HOUR}, "delayed"),
        ({"crashes": QUARANTINE_CRASHES}, "quarantined"),
        ({"dispatched_at": NOW}, "dispatched"),
    ],
)
async def test_tasks_of_version_0_1_are_sorted_into_their_lanes(
    indexed_database: Database, fields: dict[str, Any], lane: str
) -> None:
    task_id = await insert_old(indexed_database, **fields)

    await MongoDispatchRepository(indexed_database).sort_into_lanes()

    assert (await lane_of(indexed_database, task_id))[0] == lane


async def put_back(db: Database, task_id: TaskId) -> None:
    """Requeues a task as a worker of version 0.1 does."""
    await db["tasks"].update_one(
        {"_id": task_id}, {"$set": {"status": "queued"}, "$unset": {"dispatched_at": "", "lease": ""}}
    )


async def release(db: Database, task_id: TaskId) -> None:
    """Releases a task as a leader of version 0.1 does."""
    await db["tasks"].update_one({"_id": task_id}, {"$set": {"dispatched_at": NOW - AN_HOUR}})


async def suspect(db: Database, task_id: TaskId) -> None:
    await db["tasks"].update_one({"_id": task_id}, {"$set": {"crashes": QUARANTINE_CRASHES}})


async def test_a_task_that_a_worker_of_version_0_1_requeued_is_found(indexed_database: Database) -> None:
    task, _ = await claimed_task(indexed_database)
    await put_back(indexed_database, task.id)

    await MongoDispatchRepository(indexed_database).sort_into_lanes()

    assert await found(indexed_database) == [task.id]


@pytest.mark.parametrize(("change", "lane"), [(release, "dispatched"), (suspect, "quarantined")])
async def test_what_a_leader_of_version_0_1_changed_is_sorted_with_all_lanes(
    indexed_database: Database, change: Callable[[Database, TaskId], Awaitable[None]], lane: str
) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task
    await change(indexed_database, task.id)

    await upkeep_repository(indexed_database).sort_all_lanes()

    assert (await lane_of(indexed_database, task.id))[0] == lane


async def test_a_task_that_a_leader_of_version_0_1_released_is_not_released_again(indexed_database: Database) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task
    await release(indexed_database, task.id)

    assert await found(indexed_database) == []


async def test_a_task_that_cannot_be_sorted_keeps_no_other_from_it(indexed_database: Database) -> None:
    await insert_old(indexed_database, due_at="tomorrow")
    well = await insert_old(indexed_database)
    dispatch = MongoDispatchRepository(indexed_database)

    for _ in range(2):
        await dispatch.sort_into_lanes()

    assert await found(indexed_database) == [well]


async def test_one_call_sorts_a_bounded_number_of_tasks(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "SORT_BATCH", 2)
    monkeypatch.setattr(lanes_module, "BATCHES", 2)
    for _ in range(5):
        await insert_old(indexed_database)
    dispatch = MongoDispatchRepository(indexed_database)

    await dispatch.sort_into_lanes()
    at_first = len(await found(indexed_database))
    await dispatch.sort_into_lanes()

    assert (at_first, len(await found(indexed_database))) == (4, 5)


async def test_a_task_in_a_lane_of_another_version_is_sorted_with_all_lanes(indexed_database: Database) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task
    await indexed_database["tasks"].update_one({"_id": task.id}, {"$set": {"lane": "express"}})

    await upkeep_repository(indexed_database).sort_all_lanes()

    assert await found(indexed_database) == [task.id]
