"""The writes of the dispatcher: it releases waiting tasks, takes them back, and sends lost tickets again.

Every write is a compare-and-set that filters on what was read before, so that two leaders at once do no harm. "Now" is
the time of the database server. Each query is a range of the index `lanes`, so its cost does not grow with the number
of tasks that wait.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import OperationFailure

from app.domain.fairness import InFlight, Lane
from app.domain.identity import TaskId, Tenant
from app.domain.task import TaskStatus
from app.ports import WaitingTask
from app.storage.careful_writes import CarefulWrites, Pipeline, malformed
from app.storage.in_flight import count_in_flight
from app.storage.lanes import LaneSorter, match_in_two_steps, take_back
from app.storage.mongo import Database, server_time, store_errors, will_pass
from app.storage.writes import change, literal
from app.telemetry.logs import get_logger

_WAITING_FIELDS = dict.fromkeys(
    (
        "tenant",
        "rev",
        "dispatch_seq",
        "priority",
        "queued_at",
        "due_at",
        "traceparent",
        "request_id",
        "crashes",
        "shared_crashes",
    ),
    1,
)
_NEEDED = ("tenant", "rev", "queued_at", "request_id")
_NUMBERS = ("rev", "dispatch_seq", "priority", "crashes", "shared_crashes")
_ORDERS = {
    Lane.READY: {"priority": -1, "queued_at": 1},
    Lane.QUARANTINED: {"shared_crashes": -1, "queued_at": 1},
}
_QUEUED = {"status": TaskStatus.QUEUED.value}
# Tasks that one query reads for several tenants.
TOGETHER = 500

_log = get_logger(__name__)


class MongoDispatchRepository:
    """Implements `app.ports.DispatchRepository` on the collection `tasks`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks = db["tasks"]
        self._lanes = LaneSorter(db)
        self._writes = CarefulWrites(db["tasks"])

    async def sort_into_lanes(self) -> None:
        now = await server_time(self._db)
        with store_errors("sort tasks into lanes"):
            await self._lanes.sort_due(now)
            await self._lanes.sort_strays()

    async def waiting_tenants(self, lane: Lane) -> Sequence[Tenant]:
        with store_errors("find waiting tenants"):
            tenants = await self._tasks.distinct("tenant", {**_QUEUED, "lane": lane.value})
        return [Tenant(tenant) for tenant in tenants]

    async def find_waiting(
        self, lane: Lane, tenants: Sequence[Tenant], limit: int
    ) -> Mapping[Tenant, Sequence[WaitingTask]]:
        now = await server_time(self._db)
        with store_errors("find waiting tasks"):
            if len(tenants) > 1 and (together := await self._find_together(lane, tenants, now)) is not None:
                return {tenant: together[tenant][:limit] for tenant in tenants}
            found = await asyncio.gather(*(self._find_of_one(lane, tenant, now, limit) for tenant in tenants))
        return dict(zip(tenants, found, strict=True))

    async def _find_together(
        self, lane: Lane, tenants: Sequence[Tenant], now: datetime
    ) -> Mapping[Tenant, Sequence[WaitingTask]] | None:
        """Reads the tasks of all these tenants in one round trip; None if there are too many for that."""
        order = {"tenant": 1, **_ORDERS[lane]}
        documents = await self._read(_waiting_in(lane, {"$in": list(tenants)}, now), order, TOGETHER + 1)
        if len(documents) > TOGETHER:
            return None
        by_tenant: defaultdict[Tenant, list[WaitingTask]] = defaultdict(list)
        for task in _readable(documents):
            by_tenant[task.tenant].append(task)
        return by_tenant

    async def _find_of_one(self, lane: Lane, tenant: Tenant, now: datetime, limit: int) -> Sequence[WaitingTask]:
        waiting = _waiting_in(lane, tenant, now)
        # Documents that this version cannot read stay at the head of the order. The limit grows by their number until
        # enough readable ones are found, or they would keep all others waiting.
        passed_over = 0
        while True:
            most = limit + passed_over
            documents = await self._read(waiting, _ORDERS[lane], most)
            readable = _readable(documents)
            unreadable = len(documents) - len(readable)
            if len(readable) >= limit or len(documents) < most:
                return readable[:limit]
            passed_over = unreadable

    async def _read(self, matching: Pipeline, order: Mapping[str, int], limit: int) -> list[dict[str, Any]]:
        first: Pipeline = [{"$sort": order}, {"$limit": limit}, {"$project": _WAITING_FIELDS}]
        return await self._tasks.aggregate([*matching, *first]).to_list()

    async def in_flight(self) -> InFlight:
        with store_errors("count tasks in flight"):
            return await count_in_flight(self._tasks)

    async def release(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        if not tasks:
            return []
        token = uuid.uuid4().hex
        ids = [task.task_id for task in tasks]
        # The tasks were read up to a second ago. One that another leader has released and a worker has requeued since
        # may be delayed now: its due time is later than all that were read.
        read = {"$lte": max(task.due_at for task in tasks)}
        releasable = {"_id": {"$in": ids}, **_QUEUED, "dispatched_at": None, "due_at": read}
        with store_errors("dispatch tasks"):
            result = await self._tasks.update_many(
                {**releasable, "cancel_requested_at": None}, change(_dispatched() | {"dispatch_token": literal(token)})
            )
            if result.matched_count == len(tasks):
                return tasks
            # Some were cancelled or requeued, or another leader has released them.
            return await self._with_token(token, tasks)

    async def take_back(self, task_ids: Sequence[TaskId]) -> None:
        with store_errors("take back tasks whose tickets were not sent"):
            await take_back(self._db, task_ids)

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        now = await server_time(self._db)
        sent = {
            "dispatched_at": {"$lt": now - timedelta(seconds=seconds)},
            "cancel_requested_at": None,
            "due_at": {"$lte": now},
        }
        dispatched = match_in_two_steps(
            {**_QUEUED, "lane": Lane.DISPATCHED.value}, self._writes.without_set_aside(sent)
        )
        with store_errors("find tasks whose tickets were sent"):
            return _readable(await self._read(dispatched, {"dispatched_at": 1}, limit))

    async def redispatch(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        token = uuid.uuid4().hex
        pipeline = change(_dispatched() | {"dispatch_token": literal(token)})
        writes = [
            ({"_id": task.task_id, "rev": task.rev, **_QUEUED, "dispatch_seq": task.dispatch_seq}, pipeline)
            for task in tasks
        ]
        with store_errors("dispatch tasks again"):
            try:
                if await self._writes.write_each(writes) == len(tasks):
                    return tasks
            except OperationFailure as error:
                if will_pass(error):
                    raise
                # Of one task, and the others are written: without their tickets they would be found lost again.
                _log.error("ticket_not_sent_again", code=error.code)
            return await self._with_token(token, tasks)

    async def _with_token(self, token: str, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        """Reads which of the tasks the write with this token has changed."""
        ids = [task.task_id for task in tasks]
        mine = await self._tasks.find({"_id": {"$in": ids}, "dispatch_token": token}, {"_id": 1}).to_list()
        changed = {document["_id"] for document in mine}
        return [task for task in tasks if task.task_id in changed]


def _waiting_in(lane: Lane, tenant: object, now: datetime) -> Pipeline:
    # The lane is the range that is read, and these fields decide: version 0.1 may have written the task.
    decides = {"dispatched_at": None, "cancel_requested_at": None, "due_at": {"$lte": now}}
    return match_in_two_steps({**_QUEUED, "lane": lane.value, "tenant": tenant}, decides)


def _dispatched() -> dict[str, Any]:
    sequence = {"$add": [{"$ifNull": ["$dispatch_seq", 0]}, 1]}
    return {"dispatched_at": "$$NOW", "dispatch_seq": sequence, "lane": literal(Lane.DISPATCHED.value)}


def _readable(documents: Sequence[dict[str, Any]]) -> list[WaitingTask]:
    """Converts what can be dispatched. Logs and skips a document that lacks a field, or has one of another type.

    It must not block the others.
    """
    readable = []
    for document in documents:
        missing = [name for name in _NEEDED if document.get(name) is None]
        if wrong := missing + malformed(document, numbers=_NUMBERS):
            _log.warning("task_not_dispatched", task_id=document["_id"], fields=wrong)
        else:
            readable.append(_waiting(document))
    return readable


def _waiting(document: dict[str, Any]) -> WaitingTask:
    return WaitingTask(
        task_id=document["_id"],
        tenant=document["tenant"],
        rev=document["rev"],
        dispatch_seq=document.get("dispatch_seq") or 0,
        priority=document.get("priority") or 0,
        queued_at=document["queued_at"],
        due_at=document["due_at"],
        traceparent=document.get("traceparent"),
        request_id=document["request_id"],
        crashes=document.get("crashes") or 0,
        shared_crashes=document.get("shared_crashes") or 0,
    )
