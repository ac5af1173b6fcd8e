"""The intake switch, today's figures, and the hourly roll-ups that make them cheap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import UpdateOne

from app.domain.identity import Tenant
from app.domain.intake import Intake
from app.domain.task import TaskStatus
from app.errors import StoreUnavailable
from app.settings import StoreSettings
from app.storage import rollups
from app.storage.mongo import Database, connect
from app.storage.mongo import database as open_database
from app.storage.rollups import percentile, roll_up, rolled_until
from app.storage.system import MongoSystemRepository
from tests.support.servers import HOST, free_port
from tests.support.tasks import TENANT, claimed_task, new_task, task_repository

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def insert_finished(db: Database, number: int, *, ended_at: datetime, seconds: float, **fields: Any) -> None:
    """Inserts a finished task as the store holds it, at a time of the test's choice."""
    document = {
        "_id": f"task-{number}",
        "tenant": TENANT,
        "status": TaskStatus.COMPLETED.value,
        "selected_agent": "CodeAgent",
        "created_at": ended_at - timedelta(seconds=seconds),
        "completed_at": ended_at,
        "changed_at": ended_at,
    }
    await db["tasks"].insert_one({**document, **fields})


async def test_the_switch_is_on_until_it_is_set(indexed_database: Database) -> None:
    system = MongoSystemRepository(indexed_database)

    assert await system.intake() == Intake()
    await system.set_intake(Intake(accepting=False, reason="$incident"))
    assert await system.intake() == Intake(accepting=False, reason="$incident")


async def test_figures_are_of_one_tenant_or_of_all(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database)
    await tasks.insert(new_task(), dispatched=False, new_session=True)
    await tasks.insert(new_task(tenant=Tenant("globex")), dispatched=False, new_session=True)
    await claimed_task(indexed_database)
    now = datetime.now(UTC)
    for number in range(4):
        await insert_finished(indexed_database, number, ended_at=now, seconds=number + 1)
    failed = {"status": "failed", "selected_agent": None}
    await insert_finished(indexed_database, 9, ended_at=now, seconds=500, **failed)

    mine = await MongoSystemRepository(indexed_database).statistics(TENANT)
    everybodys = await MongoSystemRepository(indexed_database).statistics(None)

    assert mine.today_by_status == {
        TaskStatus.QUEUED: 1,
        TaskStatus.PROCESSING: 1,
        TaskStatus.COMPLETED: 4,
        TaskStatus.FAILED: 1,
        TaskStatus.CANCELLED: 0,
    }
    assert mine.by_agent == {"CodeAgent": 4}
    assert mine.latency_p50_seconds == pytest.approx(2, rel=0.07)
    assert mine.latency_p95_seconds == pytest.approx(4, rel=0.07)
    assert everybodys.today_by_status[TaskStatus.QUEUED] == 2


async def test_counting_queued_tasks_ends_at_a_limit(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = task_repository(indexed_database)
    for _ in range(3):
        await tasks.insert(new_task(), dispatched=False, new_session=True)
    system = MongoSystemRepository(indexed_database)
    counted = [await system.statistics(None)]

    monkeypatch.setattr("app.storage.system.COUNT_LIMIT", 2)
    counted += [await system.statistics(TENANT), await system.statistics(Tenant("globex"))]

    assert [(one.today_by_status[TaskStatus.QUEUED], one.exact) for one in counted] == [
        (3, True),
        (2, False),
        (0, True),
    ]


async def test_queued_tasks_count_in_every_lane_and_without_one(indexed_database: Database) -> None:
    tasks, system = task_repository(indexed_database), MongoSystemRepository(indexed_database)
    later = datetime.now(UTC) + timedelta(hours=1)
    without = (await tasks.insert(new_task(), dispatched=False, new_session=True)).task
    await tasks.insert(new_task(run_at=later), dispatched=False, new_session=True)
    await tasks.insert(new_task(), dispatched=True, new_session=True)
    as_of_version_0_1 = {"$unset": {"lane": ""}, "$set": {"selected_agent": "CodeAgent"}}
    await indexed_database["tasks"].update_one({"_id": without.id}, as_of_version_0_1)

    figures = await system.statistics(TENANT)

    assert (figures.today_by_status[TaskStatus.QUEUED], figures.by_agent) == (3, {"CodeAgent": 1})
    assert await tasks.count_queued(TENANT, up_to=10) == 3


async def test_without_tasks_there_is_no_latency(indexed_database: Database) -> None:
    figures = await MongoSystemRepository(indexed_database).statistics(TENANT)

    assert set(figures.today_by_status.values()) == {0}
    assert (figures.latency_p50_seconds, figures.latency_p95_seconds) == (None, None)


async def test_full_hours_are_rolled_up_once(indexed_database: Database) -> None:
    ends = [NOON - timedelta(hours=2, minutes=1), NOON - timedelta(minutes=30), NOON + timedelta(minutes=1)]
    for number, ended_at in enumerate(ends):
        await insert_finished(indexed_database, number, ended_at=ended_at, seconds=1)
    await insert_finished(indexed_database, 7, ended_at=ends[1], seconds=1, tenant="globex")

    for _ in range(2):
        await roll_up(indexed_database, NOON + timedelta(minutes=2))

    ids = [document["_id"] for document in await indexed_database["system_metrics"].find({}).to_list()]
    assert sorted(ids) == ["acme:2026-11-21T09", "acme:2026-11-21T11", "globex:2026-11-21T11"]
    assert await rolled_until(indexed_database) == NOON


async def test_an_hour_that_ended_just_now_is_left_for_later(indexed_database: Database) -> None:
    await insert_finished(indexed_database, 1, ended_at=NOON - timedelta(minutes=5), seconds=1)

    await roll_up(indexed_database, NOON + timedelta(seconds=59))
    assert await indexed_database["system_metrics"].count_documents({}) == 0
    await roll_up(indexed_database, NOON + timedelta(seconds=60))
    assert await indexed_database["system_metrics"].count_documents({}) == 1


async def test_rolled_and_live_hours_add_up_without_counting_twice(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [NOON - timedelta(hours=13), *(NOON - timedelta(hours=hours) for hours in (11, 3, 1)), NOON]
    for number, ended_at in enumerate(ends):
        await insert_finished(indexed_database, number, ended_at=ended_at, seconds=2)
    now = NOON + timedelta(minutes=5)

    async def stopped_clock(_: Database) -> datetime:
        return now

    monkeypatch.setattr("app.storage.system.server_time", stopped_clock)
    system = MongoSystemRepository(indexed_database)

    before = await system.statistics(TENANT)
    await system.roll_up()
    after = await system.statistics(TENANT)

    assert before.today_by_status[TaskStatus.COMPLETED] == 4
    assert after == before


@pytest.mark.parametrize("seconds", [0.001, 0.04, 1.0, 59.0, 3600.0])
def test_a_percentile_is_close_to_the_truth(seconds: float) -> None:
    bucket = int(rollups.BUCKETS_PER_DECADE * math.log10(seconds * 1000))

    assert percentile(Counter({bucket: 10}), 0.95) == pytest.approx(seconds, rel=0.13, abs=0.001)


async def test_a_ping_without_a_server_fails() -> None:
    settings = StoreSettings.model_validate({"uri": f"mongodb://{HOST}:{free_port()}/", "timeout_seconds": 0.5})
    client = connect(settings)
    with pytest.raises(StoreUnavailable):
        await MongoSystemRepository(open_database(client, settings)).ping()
    client.close()


async def test_hours_that_were_rolled_up_stay_so_if_a_later_one_fails(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader with many hours to make up gets further with each round."""
    for hours in (3, 2, 1):
        ended_at = NOON - timedelta(hours=hours, minutes=-5)
        await insert_finished(indexed_database, hours, ended_at=ended_at, seconds=1)
    write = rollups._write

    def fail_at_eleven(tenant: str, hour_ms: int, groups: Iterable[dict[str, Any]], horizon: datetime) -> UpdateOne:
        if datetime.fromtimestamp(hour_ms / 1000, tz=UTC).hour == 11:
            raise TimeoutError
        return write(tenant, hour_ms, groups, horizon)

    with monkeypatch.context() as patched:
        patched.setattr(rollups, "_write", fail_at_eleven)
        with pytest.raises(TimeoutError):
            await roll_up(indexed_database, NOON + timedelta(minutes=2))
    assert await rolled_until(indexed_database) == NOON - timedelta(hours=1)

    await roll_up(indexed_database, NOON + timedelta(minutes=2))
    ids = [document["_id"] for document in await indexed_database["system_metrics"].find({}).to_list()]
    assert sorted(ids) == ["acme:2026-11-21T09", "acme:2026-11-21T10", "acme:2026-11-21T11"]
