"""Every stored write against `TRANSITIONS`: each change of a status is allowed there, and each allowed one is made."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.identity import ClaimId
from app.domain.task import TERMINAL, TRANSITIONS, NewTask, Requeue, Task, TaskError, TaskStatus
from app.ports import Claim, RunUpdate, WaitingTask
from app.storage.claims import MongoClaimRepository
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository
from app.storage.queue_counts import MongoQueueCounter
from app.storage.tasks import MongoTaskRepository
from app.storage.upkeep import MongoUpkeepRepository
from tests.contract.storage.test_claims import RESULT
from tests.support.tasks import TENANT, claim, claim_repository, new_task, step, task_repository, upkeep_repository

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ERROR = TaskError(type="AGENT_FAULT", message="m")


@dataclass(frozen=True)
class Stored:
    """A task in some status, and the last claim that a worker had of it."""

    db: Database
    new: NewTask
    task: Task
    held: Claim

    @property
    def tasks(self) -> MongoTaskRepository:
        return task_repository(self.db)

    @property
    def claims(self) -> MongoClaimRepository:
        return claim_repository(self.db)

    @property
    def dispatch(self) -> MongoDispatchRepository:
        return MongoDispatchRepository(self.db)

    @property
    def upkeep(self) -> MongoUpkeepRepository:
        return upkeep_repository(self.db)

    @property
    def waiting(self) -> WaitingTask:
        """The task as a leader has read it just now."""
        return WaitingTask(
            task_id=self.task.id,
            tenant=self.task.tenant,
            rev=self.task.rev,
            dispatch_seq=self.task.dispatch_seq,
            priority=self.task.priority,
            queued_at=self.task.queued_at,
            due_at=self.task.due_at or self.task.queued_at,
            traceparent=None,
            request_id=self.task.request_id,
        )

    async def set(self, **fields: Any) -> None:
        await self.db["tasks"].update_one({"_id": self.task.id}, {"$set": fields})


Write = Callable[[Stored], Awaitable[object]]


def update() -> RunUpdate:
    """Makes an update with an id of its own. A write with the id of the last one would count as its repeat."""
    return RunUpdate(steps=[step()])


async def claim_again(stored: Stored) -> None:
    await stored.set(dispatched_at=LONG_AGO)
    await stored.claims.claim(stored.task.id, claim_id=uuid.uuid4().hex)


async def reap(stored: Stored, *, excuse_crashes: bool = False, **fields: Any) -> None:
    """Reaps after the lease has expired, in whatever status the task is."""
    await stored.set(**{"lease.expires_at": LONG_AGO, **fields})
    await stored.upkeep.reap(excuse_crashes=excuse_crashes)


async def sweep(stored: Stored, **fields: Any) -> None:
    await stored.set(**fields)
    await stored.upkeep.sweep()


async def request_cancel(stored: Stored) -> None:
    await stored.tasks.request_cancel(TENANT, stored.task.id)


def requeue(reason: Requeue) -> Write:
    return lambda stored: stored.claims.requeue(stored.held, update(), reason=reason, delay_seconds=0, error=ERROR)


# By the method that each one calls. Where a write has further conditions than the status, they are all met.
WRITES: dict[str, list[Write]] = {
    "insert": [lambda stored: stored.tasks.insert(stored.new, dispatched=True, new_session=False)],
    "request_cancel": [request_cancel],
    "erase_session": [lambda stored: stored.tasks.erase_session(TENANT, stored.task.session_id)],
    "claim": [claim_again],
    "abandon": [lambda stored: stored.claims.abandon(stored.task.id, stored.held.claim_id)],
    "return_ticket": [lambda stored: stored.claims.return_ticket(stored.task.id)],
    "record": [lambda stored: stored.claims.record(stored.held, update())],
    "complete": [lambda stored: stored.claims.complete(stored.held, update(), RESULT)],
    "fail": [lambda stored: stored.claims.fail(stored.held, update(), ERROR, None)],
    "cancel": [lambda stored: stored.claims.cancel(stored.held, update())],
    "requeue": [requeue(reason) for reason in Requeue],
    "heartbeat": [lambda stored: stored.claims.heartbeat([stored.held])],
    "release": [lambda stored: stored.dispatch.release([stored.waiting])],
    "take_back": [lambda stored: stored.dispatch.take_back([stored.task.id])],
    "sort_into_lanes": [lambda stored: stored.dispatch.sort_into_lanes()],
    "redispatch": [lambda stored: stored.dispatch.redispatch([stored.waiting])],
    "reap": [
        reap,
        lambda stored: reap(stored, excuse_crashes=True),
        lambda stored: reap(stored, max_attempts=1),
        lambda stored: reap(stored, crashes=2, max_attempts=100),
        lambda stored: reap(stored, cancel_requested_at=LONG_AGO),
    ],
    "sweep": [
        lambda stored: sweep(stored, cancel_requested_at=LONG_AGO),
        lambda stored: sweep(stored, expires_at=LONG_AGO),
    ],
    "sort_all_lanes": [lambda stored: stored.upkeep.sort_all_lanes()],
    "project": [lambda stored: MongoProjectionRepository(stored.db, patience_seconds=0).project([stored.task.id])],
}
READS = {
    "get",
    "has_ended",
    "find_page",
    "count_queued",
    "history",
    "waiting_tenants",
    "find_waiting",
    "in_flight",
    "find_dispatched_before",
    "counts",
    "count_all",
    "find_stale",
}


async def store(db: Database, status: TaskStatus) -> Stored:
    """Stores a task and brings it into the status by one claim."""
    new = new_task(run_at=datetime.now(UTC) - timedelta(minutes=1))
    accepted = (await task_repository(db).insert(new, dispatched=True, new_session=False)).task
    _, held = await claim(db, accepted.id)
    claims = claim_repository(db)
    if status is TaskStatus.QUEUED:
        await claims.requeue(held, update(), reason=Requeue.HANDBACK, delay_seconds=0, error=None)
    elif status is TaskStatus.COMPLETED:
        await claims.complete(held, update(), RESULT)
    elif status is TaskStatus.FAILED:
        await claims.fail(held, update(), ERROR, None)
    elif status is TaskStatus.CANCELLED:
        await claims.cancel(held, update())
    task = await task_repository(db).get(TENANT, accepted.id)
    assert task.status is status
    return Stored(db, new, task, held)


async def status_after(write: Write, stored: Stored) -> TaskStatus:
    await write(stored)
    document = await stored.db["tasks"].find_one({"_id": stored.task.id})
    assert document is not None
    await stored.db["tasks"].delete_one({"_id": stored.task.id})  # the next reap or sweep shall not find it
    return TaskStatus(document["status"])


async def test_statuses_change_as_in_the_table_and_in_no_other_way(indexed_database: Database) -> None:
    seen: dict[TaskStatus, set[TaskStatus]] = {status: set() for status in TaskStatus}
    for status in TaskStatus:
        for write in [write for several in WRITES.values() for write in several]:
            seen[status].add(await status_after(write, await store(indexed_database, status)))

    assert {status: following - {status} for status, following in seen.items()} == TRANSITIONS


async def test_a_claim_that_has_ended_its_task_cannot_end_it_in_another_way(indexed_database: Database) -> None:
    """The fence names the status as well as the epoch, which stays the same when a run ends."""
    for status in TERMINAL:
        stored = await store(indexed_database, status)
        assert not await stored.claims.complete(stored.held, RunUpdate(), RESULT)
        assert not await stored.claims.fail(stored.held, RunUpdate(), ERROR, None)
        assert not await stored.claims.cancel(stored.held, RunUpdate())
        assert (await stored.claims.heartbeat([stored.held])).lost == {ClaimId(stored.held.claim_id)}


def test_every_method_of_the_repositories_of_tasks_is_driven_or_reads_only() -> None:
    repositories = (
        MongoTaskRepository,
        MongoClaimRepository,
        MongoDispatchRepository,
        MongoUpkeepRepository,
        MongoQueueCounter,
        MongoProjectionRepository,
    )
    methods = {name for repository in repositories for name in vars(repository) if not name.startswith("_")}

    assert methods == {*WRITES, *READS}
