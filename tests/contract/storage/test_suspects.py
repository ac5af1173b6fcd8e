"""The crashes of tasks that crashed their worker before: who is to blame, and when it is enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.fairness import QUARANTINE_CRASHES
from app.domain.identity import TaskId
from app.domain.task import Task, TaskStatus
from app.storage import upkeep as upkeep_module
from app.storage.mongo import Database
from tests.support.tasks import TENANT, claimed_task, task_repository, upkeep_repository


async def running(db: Database, *, owner: str = "w1", **fields: Any) -> TaskId:
    """Stores a running task of this worker, whose lease has expired."""
    task, _ = await claimed_task(db, lease_seconds=-1)
    await db["tasks"].update_one({"_id": task.id}, {"$set": {"lease.owner": owner, **fields}})
    return task.id


async def read(db: Database, task_id: TaskId) -> Task:
    return await task_repository(db).get(TENANT, task_id)


async def test_suspects_that_died_together_share_the_crash(indexed_database: Database) -> None:
    suspects = [await running(indexed_database, crashes=QUARANTINE_CRASHES) for _ in range(2)]
    healthy = await running(indexed_database)

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    assert reaped.requeued == {"shared_crash": 2, "crash": 1}
    for task_id in suspects:
        task = await read(indexed_database, task_id)
        assert (task.status, task.crashes, task.shared_crashes) == (TaskStatus.QUEUED, QUARANTINE_CRASHES, 1)
    assert (await read(indexed_database, healthy)).crashes == 1


async def test_a_suspect_without_another_one_in_its_process_is_to_blame(indexed_database: Database) -> None:
    alone = await running(indexed_database, crashes=QUARANTINE_CRASHES, max_attempts=3)
    await running(indexed_database, owner="w2", crashes=QUARANTINE_CRASHES, max_attempts=9)
    await running(indexed_database)

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    task = await read(indexed_database, alone)
    assert (task.status, task.crashes) == (TaskStatus.FAILED, 3)
    assert task.error is not None
    assert "died or stalled 3 times, as often as its max_attempts allows" in task.error.message
    assert reaped.failed == {"ATTEMPTS_EXHAUSTED": 1}


async def test_a_neighbour_whose_lease_lasts_longer_counts_as_one(indexed_database: Database) -> None:
    suspect = await running(indexed_database, crashes=QUARANTINE_CRASHES, max_attempts=3)
    neighbour = await running(indexed_database, crashes=QUARANTINE_CRASHES)
    later = {"$set": {"lease.expires_at": datetime.now(UTC) + timedelta(minutes=1)}}
    await indexed_database["tasks"].update_one({"_id": neighbour}, later)

    await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    assert (await read(indexed_database, suspect)).status is TaskStatus.QUEUED


async def test_suspects_that_are_reaped_in_two_rounds_still_died_together(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "BATCH", 1)
    suspects = [await running(indexed_database, crashes=QUARANTINE_CRASHES, max_attempts=3) for _ in range(2)]
    upkeep = upkeep_repository(indexed_database)

    for _ in range(2):
        await upkeep.reap(excuse_crashes=False)

    assert [(await read(indexed_database, task_id)).shared_crashes for task_id in suspects] == [1, 1]


async def test_the_installation_limits_all_crashes_of_a_task(indexed_database: Database) -> None:
    patient = await running(indexed_database, crashes=4, shared_crashes=5, max_attempts=100)
    beside = await running(indexed_database, crashes=2, shared_crashes=1, max_attempts=100)

    await upkeep_repository(indexed_database, max_crashes=10).reap(excuse_crashes=False)

    task = await read(indexed_database, patient)
    assert (task.status, task.shared_crashes) == (TaskStatus.FAILED, 6)
    assert task.error is not None
    assert "10 times, as often as AGENT_TASK_MAX_CRASHES of this installation allows" in task.error.message
    assert (await read(indexed_database, beside)).status is TaskStatus.QUEUED


async def test_an_outage_blames_no_suspect(indexed_database: Database) -> None:
    suspects = [await running(indexed_database, crashes=QUARANTINE_CRASHES, max_attempts=3) for _ in range(2)]

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=True)

    assert reaped.requeued == {"outage": 2}
    assert [(await read(indexed_database, task_id)).shared_crashes for task_id in suspects] == [0, 0]
