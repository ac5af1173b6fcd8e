"""The leader's writes: release, redispatch, reap, sweep, projection, and the lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from app.domain.fairness import QUARANTINE_CRASHES, InFlight, Lane
from app.domain.identity import TaskId, Tenant
from app.domain.task import Requeue, TaskStatus
from app.errors import StoreError
from app.ports import RunUpdate, WaitingTask
from app.storage import dispatch as dispatch_module
from app.storage import upkeep as upkeep_module
from app.storage.dispatch import MongoDispatchRepository
from app.storage.leadership import MongoLeaderLock
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository
from app.storage.queue_counts import MongoQueueCounter
from tests.contract.storage.test_claims import RESULT
from tests.support.tasks import (
    TENANT,
    claim,
    claim_repository,
    claimed_task,
    new_task,
    step,
    task_repository,
    upkeep_repository,
)

OTHER = Tenant("other")


async def find_waiting(
    dispatch: MongoDispatchRepository, lane: Lane = Lane.READY, *, limit: int = 10
) -> Sequence[WaitingTask]:
    return (await dispatch.find_waiting(lane, [TENANT], limit))[TENANT]


async def waiting(db: Database, **fields: Any) -> str:
    return (await task_repository(db).insert(new_task(**fields), dispatched=False, new_session=True)).task.id


async def test_waiting_tasks_come_by_priority_then_age(indexed_database: Database) -> None:
    old = await waiting(indexed_database)
    new = await waiting(indexed_database)
    urgent = await waiting(indexed_database, priority=9)
    await waiting(indexed_database, run_at=datetime.now(UTC) + timedelta(hours=1))

    found = await find_waiting(MongoDispatchRepository(indexed_database))

    assert [task.task_id for task in found] == [urgent, old, new]


@pytest.mark.parametrize("together", [500, 2])
async def test_several_tenants_are_asked_in_one_round_trip_or_each_alone(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(dispatch_module, "TOGETHER", together)
    old = await waiting(indexed_database)
    urgent = await waiting(indexed_database, priority=9)
    await waiting(indexed_database)
    others = await waiting(indexed_database, tenant=OTHER)
    nobody = Tenant("nobody")

    found = await MongoDispatchRepository(indexed_database).find_waiting(Lane.READY, [TENANT, OTHER, nobody], 2)

    assert {tenant: [task.task_id for task in tasks] for tenant, tasks in found.items()} == {
        TENANT: [urgent, old],
        OTHER: [others],
        nobody: [],
    }


async def test_a_task_is_released_once(indexed_database: Database) -> None:
    await waiting(indexed_database)
    await waiting(indexed_database)
    dispatch = MongoDispatchRepository(indexed_database)
    both = await find_waiting(dispatch)

    assert await dispatch.release(both[:1]) == both[:1]
    assert await dispatch.release(both) == both[1:]
    assert await find_waiting(dispatch) == []


async def test_a_task_that_was_delayed_since_it_was_read_is_not_released(indexed_database: Database) -> None:
    """Another leader has released it meanwhile, and its worker has put it off."""
    delayed, usual = [TaskId(await waiting(indexed_database)) for _ in range(2)]
    dispatch = MongoDispatchRepository(indexed_database)
    both = await find_waiting(dispatch)
    await dispatch.release([task for task in both if task.task_id == delayed])
    _, held = await claim(indexed_database, delayed)
    claims = claim_repository(indexed_database)
    await claims.requeue(held, RunUpdate(), reason=Requeue.POSTPONED, delay_seconds=60, error=None)

    assert [task.task_id for task in await dispatch.release(both)] == [usual]


async def test_a_lost_ticket_is_found_and_sent_again_once(indexed_database: Database) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=True, new_session=True)).task
    dispatch = MongoDispatchRepository(indexed_database)

    assert await dispatch.find_dispatched_before(60, 10) == []
    (sent,) = await dispatch.find_dispatched_before(-60, 10)

    assert sent.task_id == task.id
    assert await dispatch.redispatch([sent]) == [sent]
    assert await dispatch.redispatch([sent]) == []
    assert (await task_repository(indexed_database).get(TENANT, task.id)).dispatch_seq == 2


async def test_of_many_lost_tickets_those_are_sent_again_whose_tasks_did_not_move_on(
    indexed_database: Database,
) -> None:
    tasks = task_repository(indexed_database)
    ids = [(await tasks.insert(new_task(), dispatched=True, new_session=True)).task.id for _ in range(6)]
    dispatch = MongoDispatchRepository(indexed_database)
    first, revised, claimed, redispatched, cancelled, last = lost = await dispatch.find_dispatched_before(-60, 10)
    assert sorted(task.task_id for task in lost) == sorted(ids)
    await indexed_database["tasks"].update_one({"_id": revised.task_id}, {"$inc": {"rev": 1}})
    await claim(indexed_database, claimed.task_id)
    await indexed_database["tasks"].update_one({"_id": redispatched.task_id}, {"$inc": {"dispatch_seq": 1}})
    await tasks.request_cancel(TENANT, cancelled.task_id)

    assert await dispatch.redispatch([last, *lost[:-1]]) == [last, first]

    stored = {document["_id"]: document for document in await indexed_database["tasks"].find().to_list()}
    numbers = {task_id: document["dispatch_seq"] for task_id, document in stored.items()}
    others = dict.fromkeys(ids, 1) | {redispatched.task_id: 2}
    assert numbers == others | {first.task_id: 2, last.task_id: 2}


@pytest.mark.parametrize("understood", [True, False])
async def test_a_lost_ticket_whose_task_cannot_be_written_keeps_no_other_from_being_sent_again(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch, understood: bool
) -> None:
    """The type of a field has changed since the task was read. A server may have an error code of its own for that."""
    monkeypatch.setattr("app.storage.careful_writes.is_of_document", lambda _: understood)
    tasks = task_repository(indexed_database)
    for _ in range(3):
        await tasks.insert(new_task(), dispatched=True, new_session=True)
    dispatch = MongoDispatchRepository(indexed_database)
    first, ill, last = await dispatch.find_dispatched_before(-60, 10)
    await indexed_database["tasks"].update_one({"_id": ill.task_id}, {"$set": {"rev": "one"}})

    assert await dispatch.redispatch([first, replace(ill, rev=cast("Any", "one")), last]) == [first, last]

    stored = await indexed_database["tasks"].find({"dispatch_seq": 2}).to_list()
    assert {document["_id"] for document in stored} == {first.task_id, last.task_id}


async def test_an_expired_lease_puts_the_task_back_until_its_attempts_are_gone(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database, lease_seconds=-1, max_attempts=2)
    dispatch, upkeep = MongoDispatchRepository(indexed_database), upkeep_repository(indexed_database)

    reaped = await upkeep.reap(excuse_crashes=False)
    requeued = await task_repository(indexed_database).get(TENANT, task.id)
    assert reaped.requeued == {"crash": 1}
    assert (requeued.status, requeued.crashes) == (TaskStatus.QUEUED, 1)
    assert not await claim_repository(indexed_database).record(held, RunUpdate())

    assert await dispatch.release(await find_waiting(dispatch))
    claims = claim_repository(indexed_database, lease_seconds=-1)
    assert await claims.claim(task.id, claim_id="second")
    reaped = await upkeep.reap(excuse_crashes=False)

    failed = await task_repository(indexed_database).get(TENANT, task.id)
    assert reaped.failed == {"ATTEMPTS_EXHAUSTED": 1}
    assert failed.status is TaskStatus.FAILED
    assert failed.error is not None
    assert failed.error.type == "ATTEMPTS_EXHAUSTED"


async def test_an_outage_does_not_count_as_a_crash(indexed_database: Database) -> None:
    task, _ = await claimed_task(indexed_database, lease_seconds=-1, max_attempts=1)

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=True)

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert reaped.requeued == {"outage": 1}
    assert (stored.status, stored.crashes) == (TaskStatus.QUEUED, 0)


async def test_a_living_lease_is_left_alone(indexed_database: Database) -> None:
    await claimed_task(indexed_database, lease_seconds=60)

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    assert (reaped.requeued, reaped.failed, reaped.cancelled) == ({}, {}, 0)


async def test_a_flagged_task_whose_worker_died_is_cancelled(indexed_database: Database) -> None:
    task, _ = await claimed_task(indexed_database, lease_seconds=-1)
    await task_repository(indexed_database).request_cancel(TENANT, task.id)

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    assert reaped.cancelled == 1
    assert (await task_repository(indexed_database).get(TENANT, task.id)).status is TaskStatus.CANCELLED


async def test_a_flagged_task_that_was_requeued_is_cancelled(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    await task_repository(indexed_database).request_cancel(TENANT, task.id)
    claims = claim_repository(indexed_database)
    await claims.requeue(held, RunUpdate(), reason=Requeue.RETRY, delay_seconds=0, error=None)

    swept = await upkeep_repository(indexed_database).sweep()

    assert swept.cancelled == 1
    assert (await task_repository(indexed_database).get(TENANT, task.id)).status is TaskStatus.CANCELLED


async def test_a_task_that_waited_too_long_expires_counted_from_its_due_time(indexed_database: Database) -> None:
    tasks = task_repository(indexed_database, expiry_seconds=-60)
    overdue = (await tasks.insert(new_task(), dispatched=False, new_session=True)).task
    delayed = (
        await tasks.insert(new_task(run_at=datetime.now(UTC) + timedelta(hours=1)), dispatched=False, new_session=True)
    ).task

    reaped = await upkeep_repository(indexed_database).sweep()

    expired = await tasks.get(TENANT, overdue.id)
    assert reaped.failed == {"EXPIRED": 1}
    assert expired.error is not None
    assert expired.error.type == "EXPIRED"
    assert "AGENT_TASK_EXPIRY_SECONDS" in expired.error.message
    assert (await tasks.get(TENANT, delayed.id)).status is TaskStatus.QUEUED


async def test_waiting_tenants_and_what_is_in_flight_are_told_by_tenant(indexed_database: Database) -> None:
    dispatch = MongoDispatchRepository(indexed_database)
    tasks = task_repository(indexed_database)
    await waiting(indexed_database)
    other = new_task().model_copy(update={"tenant": OTHER})
    await tasks.insert(other, dispatched=True, new_session=True)
    claimed, _ = await claimed_task(indexed_database)
    crashed = {"$set": {"crashes": QUARANTINE_CRASHES, "shared_crashes": 3}}
    await indexed_database["tasks"].update_one({"_id": claimed.id}, crashed)

    in_flight = await dispatch.in_flight()

    assert await dispatch.waiting_tenants(Lane.READY) == [TENANT]
    assert in_flight == InFlight(by_tenant={TENANT: 1, OTHER: 1}, processing=1, suspects=1, suspicion=3)


async def test_counts_separate_waiting_dispatched_and_processing(indexed_database: Database) -> None:
    await waiting(indexed_database)
    await waiting(indexed_database, run_at=datetime.now(UTC) + timedelta(hours=1))
    await task_repository(indexed_database).insert(new_task(), dispatched=True, new_session=True)
    await claimed_task(indexed_database)

    counts = await MongoQueueCounter(indexed_database).counts()

    assert (counts.waiting, counts.dispatched, counts.in_flight.processing) == (1, 1, 1)
    assert 0 <= counts.oldest_age_seconds < 60


async def test_a_task_with_a_due_time_waits_from_then_on(indexed_database: Database) -> None:
    await waiting(indexed_database, run_at=datetime.now(UTC) - timedelta(seconds=2))
    an_hour_before = {"$set": {"queued_at": datetime.now(UTC) - timedelta(hours=1)}}
    await indexed_database["tasks"].update_many({}, an_hour_before)
    await MongoDispatchRepository(indexed_database).sort_into_lanes()

    counts = await MongoQueueCounter(indexed_database).counts()

    assert 1 < counts.oldest_age_seconds < 60


async def test_a_requeued_task_keeps_its_place(indexed_database: Database) -> None:
    first, claim = await claimed_task(indexed_database)
    second = await waiting(indexed_database)
    claims = claim_repository(indexed_database)
    assert await claims.requeue(claim, RunUpdate(), reason=Requeue.HANDBACK, delay_seconds=0, error=None)

    found = await find_waiting(MongoDispatchRepository(indexed_database))

    assert [task.task_id for task in found] == [first.id, second]


async def test_tasks_whose_tickets_were_not_sent_wait_again(indexed_database: Database) -> None:
    await waiting(indexed_database)
    running, _ = await claimed_task(indexed_database)
    dispatch = MongoDispatchRepository(indexed_database)
    released = await dispatch.release(await find_waiting(dispatch))

    await dispatch.take_back([*(task.task_id for task in released), running.id])

    assert [task.task_id for task in await find_waiting(dispatch)] == [released[0].task_id]
    assert (await task_repository(indexed_database).get(TENANT, running.id)).status is TaskStatus.PROCESSING


async def test_one_owner_leads_until_its_lock_ends(database: Database) -> None:
    lock = MongoLeaderLock(database)

    assert await lock.acquire("a", seconds=60)
    assert not await lock.acquire("b", seconds=60)
    assert await lock.acquire("a", seconds=-1)
    assert await lock.acquire("b", seconds=60)
    assert not await lock.acquire("a", seconds=60)
    await lock.release("a")
    assert not await lock.acquire("a", seconds=60)
    await lock.release("b")
    assert await lock.acquire("a", seconds=60)


@pytest.mark.parametrize("times", [1, 2])
async def test_projecting_twice_is_projecting_once(indexed_database: Database, times: int) -> None:
    task, held = await claimed_task(indexed_database)
    await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), RESULT)
    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)
    assert await projections.find_stale(10) == [task.id]

    for _ in range(times):
        await projections.project([task.id])

    assert await projections.find_stale(10) == []
    assert [run["_id"] for run in await indexed_database["agent_runs"].find().to_list()] == [f"{task.id}:generate#1"]
    assert await indexed_database["messages"].count_documents({"task_id": task.id}) == 2
    names = {entry["name"] for entry in await indexed_database["logs"].find().to_list()}
    assert names == {"task_queued", "task_claimed", "task_completed"}
    assert (await indexed_database["sessions"].find_one({"_id": task.session_id}) or {})["tenant"] == TENANT


async def test_an_erased_task_is_not_projected_again(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), RESULT)
    await task_repository(indexed_database).erase_session(TENANT, task.session_id)

    await MongoProjectionRepository(indexed_database, patience_seconds=0).project([task.id])

    for collection in ("agent_runs", "messages", "logs"):
        assert await indexed_database[collection].count_documents({}) == 0


async def test_copies_that_a_late_projection_leaves_of_an_erased_task_go(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), RESULT)
    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)
    await projections.project([task.id])
    await task_repository(indexed_database).erase_session(TENANT, task.session_id)
    await indexed_database["messages"].insert_one({"_id": f"{task.id}:0", "task_id": task.id, "content": "secret"})

    assert await projections.find_stale(10) == [task.id]
    await projections.project([task.id])

    assert await indexed_database["messages"].count_documents({}) == 0
    assert await projections.find_stale(10) == []


async def test_an_erasure_during_a_projection_leaves_no_copy(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, held = await claimed_task(indexed_database)
    await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), RESULT)
    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)
    insert = projections._insert_missing

    async def insert_after_the_erasure(collection: str, entries: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        if collection == "agent_runs":
            await task_repository(indexed_database).erase_session(TENANT, task.session_id)
        return await insert(collection, entries)

    monkeypatch.setattr(projections, "_insert_missing", insert_after_the_erasure)
    await projections.project([task.id])

    for collection in ("agent_runs", "messages", "logs"):
        assert await indexed_database[collection].count_documents({}) == 0


async def test_a_document_that_cannot_be_read_does_not_stop_the_others(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), RESULT)
    held_at = datetime.now(UTC)
    await indexed_database["tasks"].insert_one(
        {"_id": "newer", "tenant": TENANT, "status": "dreaming", "unprojected": True, "changed_at": held_at}
    )

    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)

    await projections.project([TaskId("newer"), task.id])

    assert await projections.find_stale(10) == []

    assert await indexed_database["agent_runs"].count_documents({"task_id": task.id}) == 1
    assert (await indexed_database["tasks"].find_one({"_id": "newer"}) or {})["status"] == "dreaming"


async def test_a_text_that_no_database_takes_is_a_store_error(indexed_database: Database) -> None:
    _, held = await claimed_task(indexed_database)

    with pytest.raises(StoreError):
        await claim_repository(indexed_database).record(held, RunUpdate(steps=[step(output={"content": "\ud800"})]))


@pytest.mark.parametrize("field", ["request_id", "queued_at", "rev"])
async def test_a_document_that_lacks_a_field_keeps_no_other_waiting(indexed_database: Database, field: str) -> None:
    strange = await waiting(indexed_database)
    usual = await waiting(indexed_database)
    await indexed_database["tasks"].update_one({"_id": strange}, {"$unset": {field: ""}})
    dispatch = MongoDispatchRepository(indexed_database)

    assert [task.task_id for task in await find_waiting(dispatch)] == [usual]
    assert [task.task_id for task in await find_waiting(dispatch, limit=1)] == [usual]


async def test_a_run_without_its_counters_is_reaped_beside_the_others(indexed_database: Database) -> None:
    strange, _ = await claimed_task(indexed_database, lease_seconds=-1)
    usual, _ = await claimed_task(indexed_database, lease_seconds=-1)
    bare = {"$unset": {"epoch": "", "max_attempts": ""}, "$set": {"crashes": None}}
    await indexed_database["tasks"].update_one({"_id": strange.id}, bare)

    reaped = await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    assert reaped.requeued == {"crash": 2}
    stored = [await task_repository(indexed_database).get(TENANT, task.id) for task in (strange, usual)]
    assert [(task.status, task.crashes) for task in stored] == [(TaskStatus.QUEUED, 1)] * 2


@pytest.mark.parametrize("work", ["reap", "cancel", "expire"])
async def test_a_document_that_cannot_be_written_is_set_aside_and_keeps_no_other_waiting(
    indexed_database: Database, work: str
) -> None:
    """Another program has written a field in a way that no expression takes."""
    past = datetime.now(UTC) - timedelta(hours=1)
    sick, well = [(await claimed_task(indexed_database))[0].id for _ in range(2)]
    tasks, upkeep = indexed_database["tasks"], upkeep_repository(indexed_database)
    both = {
        "reap": {"lease.expires_at": past},
        "cancel": {"status": "queued", "cancel_requested_at": past},
        "expire": {"status": "queued", "expires_at": past},
    }[work]
    await tasks.update_many({}, {"$set": both})
    await tasks.update_one({"_id": sick}, {"$set": {"rev": "one", "claimed_at": "yesterday"}})

    for _ in range(2):
        await (upkeep.reap(excuse_crashes=False) if work == "reap" else upkeep.sweep())

    statuses = {document["_id"]: document["status"] for document in await tasks.find().to_list()}
    assert statuses[well] == {"reap": "queued", "cancel": "cancelled", "expire": "failed"}[work]
    assert statuses[sick] == ("processing" if work == "reap" else "queued")


async def test_a_run_without_a_lease_is_reaped(indexed_database: Database) -> None:
    task, _ = await claimed_task(indexed_database)
    await indexed_database["tasks"].update_one({"_id": task.id}, {"$unset": {"lease": ""}})

    await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    assert (await task_repository(indexed_database).get(TENANT, task.id)).status is TaskStatus.QUEUED


async def test_a_round_of_the_reaper_reports_when_it_left_some(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "BATCH", 2)
    for _ in range(3):
        await claimed_task(indexed_database, lease_seconds=-1)
    upkeep = upkeep_repository(indexed_database)

    assert [(await upkeep.reap(excuse_crashes=True)).more for _ in range(2)] == [True, False]


async def test_of_a_step_that_was_run_anew_the_newer_is_copied(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    claims = claim_repository(indexed_database)
    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)
    first = step(output={"content": "old"})
    for version in (first, step(output={"content": "new"}, finished_at=first.finished_at + timedelta(seconds=1))):
        await claims.record(held, RunUpdate(steps=[version]))
        await projections.project([task.id])

    copies = await indexed_database["agent_runs"].find({"task_id": task.id}).to_list()
    assert [copy["output"] for copy in copies] == [{"content": "new"}]


@pytest.mark.parametrize("sick", [{"crashes": "two"}, {"shared_crashes": "x", "crashes": 2}, {"lease": "mine"}])
async def test_a_run_that_no_decision_can_read_keeps_no_other_from_being_reaped(
    indexed_database: Database, sick: dict[str, Any]
) -> None:
    ill, _ = await claimed_task(indexed_database, lease_seconds=-1)
    well, _ = await claimed_task(indexed_database, lease_seconds=-1)
    await indexed_database["tasks"].update_one({"_id": ill.id}, {"$set": sick})

    await upkeep_repository(indexed_database).reap(excuse_crashes=False)

    document = await indexed_database["tasks"].find_one({"_id": well.id})
    assert document is not None
    assert document["status"] == "queued"
    assert (await MongoDispatchRepository(indexed_database).in_flight()).suspicion == 0


@pytest.mark.parametrize("sick", [{"rev": "one"}, {"dispatch_seq": "x"}, {"crashes": "two"}])
async def test_a_task_that_cannot_be_released_keeps_no_other_waiting(
    indexed_database: Database, sick: dict[str, Any]
) -> None:
    ill = await waiting(indexed_database)
    well = await waiting(indexed_database)
    await indexed_database["tasks"].update_one({"_id": ill}, {"$set": sick})
    dispatch = MongoDispatchRepository(indexed_database)

    released = await dispatch.release(await find_waiting(dispatch))

    assert [task.task_id for task in released] == [well]


async def test_the_oldest_tickets_are_looked_at_first(indexed_database: Database) -> None:
    tasks = [
        (
            await task_repository(indexed_database).insert(new_task(tenant=tenant), dispatched=True, new_session=True)
        ).task
        for tenant in (Tenant("a"), Tenant("z"))
    ]
    earlier = {"$set": {"dispatched_at": datetime.now(UTC) - timedelta(minutes=5)}}
    await indexed_database["tasks"].update_one({"_id": tasks[1].id}, earlier)

    (found,) = await MongoDispatchRepository(indexed_database).find_dispatched_before(-60, 1)

    assert found.task_id == tasks[1].id
