"""The writes of the leader: it releases waiting tasks, reaps expired leases, and ends tasks that need no run.

Every write is a compare-and-set that filters on what was read before (epoch, expiry, dispatch time), so that two
leaders at once do no harm. "Now" is the time of the database server.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import OperationFailure

from app.domain.fairness import QUARANTINE_CRASHES, InFlight
from app.domain.identity import TaskId, Tenant
from app.domain.run import EventName
from app.domain.task import UNFINISHED, NewTask, Requeue, TaskError, TaskStatus
from app.errors import AttemptsExhausted, Expired
from app.ports import QueueCounts, UpkeepCounts, WaitingTask
from app.storage.claims import requeued
from app.storage.mongo import Database, is_of_document, server_time, store_errors, will_pass
from app.storage.writes import change, literal, run_ended, task_ended
from app.telemetry.logs import get_logger

_WAITING_FIELDS = dict.fromkeys(
    ("tenant", "rev", "dispatch_seq", "priority", "queued_at", "traceparent", "request_id", "crashes"), 1
)
# `None` matches a field that is not set. Each of these filters is a range of the index `dispatch`.
_UNDISPATCHED = {"status": TaskStatus.QUEUED.value, "dispatched_at": None, "cancel_requested_at": None}
_WITH_WORKERS = (
    {"status": TaskStatus.PROCESSING.value},
    {"status": TaskStatus.QUEUED.value, "dispatched_at": {"$ne": None}},
)
Order = list[tuple[str, int]]
Filter = dict[str, Any]
Pipeline = list[dict[str, Any]]
# Documents of one round: a larger one would work longer on what it read at first.
REAP_BATCH = 200

_log = get_logger(__name__)


class MongoDispatchRepository:
    """Implements `app.ports.DispatchRepository`, `TaskUpkeep` and `QueueCounter` on the collection `tasks`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks = db["tasks"]
        # Documents that this process could not write, because another program has written a field in a way that no
        # expression takes. There are few or none.
        self._set_aside: set[str] = set()

    async def waiting_tenants(self) -> Sequence[Tenant]:
        with store_errors("find waiting tenants"):
            tenants = await self._tasks.distinct("tenant", _UNDISPATCHED)
        return [Tenant(tenant) for tenant in tenants]

    async def find_waiting(self, tenant: Tenant, limit: int) -> Sequence[WaitingTask]:
        calm = {"tenant": tenant, "crashes": {"$in": [None, *range(QUARANTINE_CRASHES)]}}
        return await self._find_waiting(calm, [("priority", -1), ("queued_at", 1)], limit)

    async def find_quarantined(self, limit: int) -> Sequence[WaitingTask]:
        return await self._find_waiting({"crashes": {"$gte": QUARANTINE_CRASHES}}, [("queued_at", 1)], limit)

    async def _find_waiting(self, which: Mapping[str, Any], order: Order, limit: int) -> Sequence[WaitingTask]:
        waiting = {**_UNDISPATCHED, **which, "due_at": {"$lte": await server_time(self._db)}}
        # Documents that this version cannot read stay at the head of the order. The limit grows by their number until
        # enough readable ones are found, or they would keep all others waiting.
        passed_over = 0
        while True:
            most = limit + passed_over
            with store_errors("find waiting tasks"):
                documents = await self._tasks.find(waiting, _WAITING_FIELDS).sort(order).limit(most).to_list()
            readable = _readable(documents)
            unreadable = len(documents) - len(readable)
            if len(readable) >= limit or len(documents) < most:
                return readable[:limit]
            passed_over = unreadable

    async def in_flight(self) -> InFlight:
        by_tenant: Counter[Tenant] = Counter()
        quarantined = 0
        crashed = {"$cond": [{"$gte": [{"$ifNull": ["$crashes", 0]}, QUARANTINE_CRASHES]}, 1, 0]}
        group = {"_id": "$tenant", "number": {"$sum": 1}, "crashed": {"$sum": crashed}}
        with store_errors("count tasks in flight"):
            for which in _WITH_WORKERS:  # not one `$or`: the embedded server reads all documents for it
                for found in await self._tasks.aggregate([{"$match": which}, {"$group": group}]).to_list():
                    by_tenant[Tenant(found["_id"])] += found["number"]
                    quarantined += found["crashed"]
        return InFlight(by_tenant=by_tenant, quarantined=quarantined)

    async def release(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        if not tasks:
            return []
        token = uuid.uuid4().hex
        ids = [task.task_id for task in tasks]
        still = {"_id": {"$in": ids}, "status": TaskStatus.QUEUED.value, "dispatched_at": None}
        with store_errors("dispatch tasks"):
            result = await self._tasks.update_many(
                {**still, "cancel_requested_at": None}, change(_dispatched() | {"dispatch_token": literal(token)})
            )
            if result.matched_count == len(tasks):
                return tasks
            # Some were cancelled, or another leader has released them. The token marks those of this call.
            mine = await self._tasks.find({"_id": {"$in": ids}, "dispatch_token": token}, {"_id": 1}).to_list()
        released = {document["_id"] for document in mine}
        return [task for task in tasks if task.task_id in released]

    async def take_back(self, task_ids: Sequence[TaskId]) -> None:
        sent = {"_id": {"$in": list(task_ids)}, "status": TaskStatus.QUEUED.value, "dispatched_at": {"$ne": None}}
        with store_errors("take back tasks whose tickets were not sent"):
            await self._tasks.update_many(sent, change({"dispatched_at": "$$REMOVE"}))

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        now = await server_time(self._db)
        sent = {
            "status": TaskStatus.QUEUED.value,
            "dispatched_at": {"$lt": now - timedelta(seconds=seconds)},
            "cancel_requested_at": None,
            "due_at": {"$lte": now},
        }
        with store_errors("find tasks whose tickets were sent"):
            documents = await self._tasks.find(sent, _WAITING_FIELDS).limit(limit).to_list()
        return _readable(documents)

    async def redispatch(self, task: WaitingTask) -> bool:
        seen = {
            "_id": task.task_id,
            "rev": task.rev,
            "status": TaskStatus.QUEUED.value,
            "dispatch_seq": task.dispatch_seq,
        }
        with store_errors(f"dispatch task {task.task_id} again"):
            result = await self._tasks.update_one(seen, change(_dispatched()))
        return bool(result.matched_count)

    async def reap(self, *, excuse_crashes: bool) -> UpkeepCounts:
        now = await server_time(self._db)
        with store_errors("reap tasks"):
            outcomes, more = await self._reap_expired_leases(now, excuse_crashes=excuse_crashes)
        exhausted = outcomes["failed"]
        return UpkeepCounts(
            requeued={reason: outcomes[reason] for reason in ("crash", "outage") if outcomes[reason]},
            failed={AttemptsExhausted.code: exhausted} if exhausted else {},
            cancelled=outcomes["cancelled"],
            more=more,
        )

    async def sweep(self) -> UpkeepCounts:
        now = await server_time(self._db)
        with store_errors("sweep tasks"):
            cancelled = await self._cancel_flagged()
            expired = await self._fail_overdue(now)
        return UpkeepCounts(failed={Expired.code: expired} if expired else {}, cancelled=cancelled)

    async def counts(self) -> QueueCounts:
        now = await server_time(self._db)
        grouped: list[Mapping[str, Any]] = [
            {
                "$match": {"status": {"$in": sorted(UNFINISHED)}, "due_at": {"$lte": now}},
            },
            {
                "$project": {
                    "status": 1,
                    "sent": {"$gt": ["$dispatched_at", None]},
                    # Every return to the queue moves it, and a due time is one.
                    "waits_since": {"$ifNull": ["$due_at", "$queued_at"]},
                }
            },
            {
                "$group": {
                    "_id": {"status": "$status", "sent": "$sent"},
                    "number": {"$sum": 1},
                    "oldest": {"$min": "$waits_since"},
                }
            },
        ]
        with store_errors("count tasks"):
            groups = await self._tasks.aggregate(grouped).to_list()
        numbers: Counter[str] = Counter()
        oldest = now
        for group in groups:
            queued = group["_id"]["status"] == TaskStatus.QUEUED.value
            kind = ("dispatched" if group["_id"].get("sent") else "waiting") if queued else "processing"
            numbers[kind] += group["number"]
            if queued:
                oldest = min(oldest, group["oldest"])
        return QueueCounts(
            waiting=numbers["waiting"],
            dispatched=numbers["dispatched"],
            processing=numbers["processing"],
            oldest_age_seconds=max(0.0, (now - oldest).total_seconds()),
        )

    async def _reap_expired_leases(self, now: datetime, *, excuse_crashes: bool) -> tuple[Counter[str], bool]:
        """Counts the outcomes. The second value is True if more expired leases may be left than one round takes."""
        # A run without a lease has lost it, too: no heartbeat could renew it, so it would never end.
        run_out = [{"lease.expires_at": {"$lt": now}}, {"lease.expires_at": None}]
        expired: Filter = {"status": TaskStatus.PROCESSING.value, "$or": run_out}
        fields = {"epoch": 1, "lease": 1, "crashes": 1, "max_attempts": 1, "cancel_requested_at": 1}
        expired["_id"] = {"$nin": sorted(self._set_aside)}
        writes: defaultdict[str, list[tuple[Filter, Pipeline]]] = defaultdict(list)
        documents = await self._tasks.find(expired, fields).limit(REAP_BATCH).to_list()
        for document in documents:
            # A heartbeat that comes between the query and this write has moved the expiry: then nothing matches.
            seen = {
                "_id": document["_id"],
                "epoch": document.get("epoch"),
                "status": TaskStatus.PROCESSING.value,
                "lease.expires_at": (document.get("lease") or {}).get("expires_at"),
            }
            outcome, pipeline = _verdict(document, excuse_crashes=excuse_crashes)
            writes[outcome].append((seen, pipeline))
        outcomes = Counter({outcome: await self._write_each(group) for outcome, group in writes.items()})
        return outcomes, len(documents) == REAP_BATCH

    async def _write_each(self, writes: Sequence[tuple[Filter, Pipeline]]) -> int:
        """Writes the documents in one request, and returns how many matched. One that cannot be written is set aside.

        It would fail in every round, and keep the others from being written.
        """
        if not writes:
            return 0
        try:
            updates = [UpdateOne(seen, pipeline) for seen, pipeline in writes]
            return (await self._tasks.bulk_write(updates, ordered=False)).matched_count
        except OperationFailure as error:
            if will_pass(error):
                raise
            matched = int((error.details or {}).get("nMatched", 0))  # those that were written before it
        for seen, pipeline in writes:
            try:
                matched += (await self._tasks.update_one(seen, pipeline)).matched_count
            except OperationFailure as error:
                if will_pass(error) or not is_of_document(error):
                    raise
                self._set_aside.add(seen["_id"])
                _log.error("task_set_aside", task_id=seen["_id"], code=error.code)
        return matched

    async def _write_all(self, which: Filter, pipeline: Pipeline) -> int:
        """Writes all matching documents, and returns their number. One that cannot be written is set aside."""
        others = {**which, "_id": {"$nin": sorted(self._set_aside)}}
        try:
            return (await self._tasks.update_many(others, pipeline)).matched_count
        except OperationFailure as error:  # it ended at the first such document
            if will_pass(error):
                raise
            found = await self._tasks.find(others, {"_id": 1}).limit(REAP_BATCH).to_list()
            return await self._write_each([({**which, "_id": document["_id"]}, pipeline) for document in found])

    async def _cancel_flagged(self) -> int:
        flagged = {"status": TaskStatus.QUEUED.value, "cancel_requested_at": {"$ne": None}}
        ended = change(task_ended(TaskStatus.CANCELLED.value), event=EventName.CANCELLED)
        return await self._write_all(flagged, ended)

    async def _fail_overdue(self, now: datetime) -> int:
        overdue = {"status": TaskStatus.QUEUED.value, "expires_at": {"$lt": now}}
        # The message names no number of seconds: the setting may have changed since the task was stored.
        message = (
            "The task expired: it was still queued when the time that AGENT_TASK_EXPIRY_SECONDS allows was over. "
            "Submit it again."
        )
        error = TaskError(type=Expired.code, message=message)
        failed = task_ended(TaskStatus.FAILED.value) | {"error": literal(error.model_dump())}
        pipeline = change(failed, event=EventName.FAILED, detail={"error": error.type})
        return await self._write_all(overdue, pipeline)


def _dispatched() -> dict[str, Any]:
    return {"dispatched_at": "$$NOW", "dispatch_seq": {"$add": [{"$ifNull": ["$dispatch_seq", 0]}, 1]}}


def _verdict(document: dict[str, Any], *, excuse_crashes: bool) -> tuple[str, list[dict[str, Any]]]:
    """Decides about a task whose lease has expired. Returns an outcome for the counters, and the pipeline for it."""
    # The run is taken to have ended with its lease: the time until the reaper came is no processing time.
    ended = run_ended("$lease.expires_at")
    if document.get("cancel_requested_at") is not None:
        return "cancelled", change(ended | task_ended(TaskStatus.CANCELLED.value), event=EventName.CANCELLED)
    crashes = document.get("crashes") or 0
    most = document.get("max_attempts") or NewTask.model_fields["max_attempts"].default
    if not excuse_crashes and crashes + 1 >= most:
        message = (
            f"The worker that ran the task died or stalled {crashes + 1} times, as often as its max_attempts allows. "
            "Submit it again."
        )
        error = TaskError(type=AttemptsExhausted.code, message=message)
        failed = ended | task_ended(TaskStatus.FAILED.value)
        failed |= {"error": literal(error.model_dump()), "crashes": literal(crashes + 1)}
        return "failed", change(failed, event=EventName.FAILED, detail={"error": error.type})
    reason = Requeue.OUTAGE if excuse_crashes else Requeue.CRASH
    fields = requeued(reason, delay_seconds=0, run_ends_at="$lease.expires_at")
    return reason.value, change(fields, event=EventName.REQUEUED, detail={"reason": reason.value})


def _readable(documents: Sequence[dict[str, Any]]) -> list[WaitingTask]:
    """Converts what can be dispatched. Logs and skips a document that lacks a field: it must not block the others."""
    readable = []
    for document in documents:
        try:
            readable.append(_waiting(document))
        except KeyError as missing:
            _log.warning("task_not_dispatched", task_id=document["_id"], missing=str(missing))
    return readable


def _waiting(document: dict[str, Any]) -> WaitingTask:
    """Converts the document. Raises KeyError if it lacks a field."""
    return WaitingTask(
        task_id=document["_id"],
        tenant=document["tenant"],
        rev=document["rev"],
        dispatch_seq=document.get("dispatch_seq") or 0,
        priority=document.get("priority") or 0,
        queued_at=document["queued_at"],
        traceparent=document.get("traceparent"),
        request_id=document["request_id"],
        crashes=document.get("crashes") or 0,
    )
