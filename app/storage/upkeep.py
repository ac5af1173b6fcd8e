"""The leader's care for tasks that no worker brings forward: it reaps expired leases, and ends tasks that need no run.

Every write is a compare-and-set that filters on what was read before (epoch, expiry), so that two leaders at once do
no harm. "Now" is the time of the database server. The sweep reads all queued tasks, so it has a time limit of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.domain.fairness import QUARANTINE_CRASHES
from app.domain.run import EventName
from app.domain.task import NewTask, Requeue, TaskError, TaskStatus
from app.errors import AttemptsExhausted, Expired
from app.ports import UpkeepCounts
from app.storage.careful_writes import BATCH, CarefulWrites, Filter, Pipeline
from app.storage.claims import COUNTERS, requeued
from app.storage.lanes import LaneSorter, sort
from app.storage.mongo import Database, scan_time, server_time, store_errors
from app.storage.writes import change, literal, run_ended, task_ended

_NUMBERS = ("epoch", "crashes", "shared_crashes", "max_attempts")


class MongoUpkeepRepository:
    """Implements `app.ports.TaskUpkeep` on the collection `tasks`.

    A task ends after `max_crashes` crashes, whatever its own limit.
    """

    def __init__(self, db: Database, *, max_crashes: int) -> None:
        self._db = db
        self._tasks = db["tasks"]
        self._writes = CarefulWrites(db["tasks"])
        self._lanes = LaneSorter(db)
        self._max_crashes = max_crashes
        # The numbers of suspects that ran in each process whose leases expire now. A process dies with all of them, but
        # one round of the reaper may see only some.
        self._groups: dict[str, int] = {}

    async def reap(self, *, excuse_crashes: bool) -> UpkeepCounts:
        now = await server_time(self._db)
        with store_errors("reap tasks"):
            outcomes, more = await self._reap_expired_leases(now, excuse_crashes=excuse_crashes)
        exhausted = outcomes["failed"]
        reasons = (Requeue.CRASH, Requeue.SHARED_CRASH, Requeue.OUTAGE)
        return UpkeepCounts(
            requeued={reason.value: outcomes[reason.value] for reason in reasons if outcomes[reason.value]},
            failed={AttemptsExhausted.code: exhausted} if exhausted else {},
            cancelled=outcomes["cancelled"],
            more=more,
        )

    async def sweep(self) -> UpkeepCounts:
        now = await server_time(self._db)
        with store_errors("sweep tasks"), scan_time():
            cancelled = await self._cancel_flagged()
            expired = await self._fail_overdue(now)
        return UpkeepCounts(failed={Expired.code: expired} if expired else {}, cancelled=cancelled)

    async def sort_all_lanes(self) -> None:
        with store_errors("sort all queued tasks into lanes"), scan_time():
            await self._lanes.sort_left_by_leaders()

    async def _reap_expired_leases(self, now: datetime, *, excuse_crashes: bool) -> tuple[Counter[str], bool]:
        """Counts the outcomes. The second value is True if more expired leases may be left than one round takes."""
        # A run without a lease has lost it, too: no heartbeat could renew it, so it would never end.
        run_out = [{"lease.expires_at": {"$lt": now}}, {"lease.expires_at": None}]
        expired = self._writes.without_set_aside({"status": TaskStatus.PROCESSING.value, "$or": run_out})
        fields = dict.fromkeys(
            ("epoch", "lease", "crashes", "shared_crashes", "max_attempts", "cancel_requested_at"), 1
        )
        documents = await self._tasks.find(expired, fields).limit(BATCH).to_list()
        well_formed = self._writes.set_aside_malformed(documents, numbers=_NUMBERS)
        await self._count_groups(well_formed)
        writes: defaultdict[str, list[tuple[Filter, Pipeline]]] = defaultdict(list)
        for document in well_formed:
            # A heartbeat that comes between the query and this write has moved the expiry: then nothing matches.
            seen = {
                "_id": document["_id"],
                "epoch": document.get("epoch"),
                "status": TaskStatus.PROCESSING.value,
                "lease.expires_at": (document.get("lease") or {}).get("expires_at"),
            }
            outcome, pipeline = self._verdict(document, excuse_crashes=excuse_crashes)
            writes[outcome].append((seen, pipeline))
        outcomes = Counter({outcome: await self._writes.write_each(group) for outcome, group in writes.items()})
        return outcomes, len(documents) == BATCH

    async def _count_groups(self, expired: Sequence[dict[str, Any]]) -> None:
        """Counts the suspects of each process that has lost one now, and remembers those counted in the last round."""
        owners = {_owner(document) for document in expired if _is_suspect(document)}
        if owners:
            suspects = {"status": TaskStatus.PROCESSING.value, "crashes": {"$gte": QUARANTINE_CRASHES}}
            running = Counter(map(_owner, await self._tasks.find(suspects, {"lease": 1}).to_list()))
        self._groups = {owner: max(running[owner], self._groups.get(owner, 0)) for owner in owners}

    def _verdict(self, document: dict[str, Any], *, excuse_crashes: bool) -> tuple[str, Pipeline]:
        """Decides about a task whose lease has expired. Returns an outcome for the counters, and its pipeline."""
        # The run is taken to have ended with its lease: the time until the reaper came is no processing time.
        ended = run_ended("$lease.expires_at")
        if document.get("cancel_requested_at") is not None:
            return "cancelled", change(ended | task_ended(TaskStatus.CANCELLED.value), event=EventName.CANCELLED)
        # One of the suspects that ran together is to blame, and nothing shows which.
        shared = _is_suspect(document) and self._groups.get(_owner(document), 1) > 1
        reason = Requeue.OUTAGE if excuse_crashes else Requeue.SHARED_CRASH if shared else Requeue.CRASH
        if reason is not Requeue.OUTAGE and (error := self._exhausted(document, reason)) is not None:
            failed = ended | task_ended(TaskStatus.FAILED.value)
            counter = COUNTERS[reason]
            failed |= {"error": literal(error.model_dump()), counter: literal((document.get(counter) or 0) + 1)}
            return "failed", change(failed, event=EventName.FAILED, detail={"error": error.type})
        fields = requeued(reason, delay_seconds=0, run_ends_at="$lease.expires_at")
        pipeline = change(fields, event=EventName.REQUEUED, detail={"reason": reason.value})
        return reason.value, [*pipeline, sort()]

    def _exhausted(self, document: dict[str, Any], reason: Requeue) -> TaskError | None:
        """Builds the error of a task that may not crash once more; None for others."""
        crashes = (document.get("crashes") or 0) + 1
        shared = document.get("shared_crashes") or 0
        most = document.get("max_attempts") or NewTask.model_fields["max_attempts"].default
        if reason is Requeue.CRASH and crashes >= most:
            times, limit = crashes, "its max_attempts allows"
        elif crashes + shared >= self._max_crashes:
            times, limit = crashes + shared, "AGENT_TASK_MAX_CRASHES of this installation allows"
        else:
            return None
        message = f"The worker that ran the task died or stalled {times} times, as often as {limit}. Submit it again."
        return TaskError(type=AttemptsExhausted.code, message=message)

    async def _cancel_flagged(self) -> int:
        flagged = {"status": TaskStatus.QUEUED.value, "cancel_requested_at": {"$ne": None}}
        ended = change(task_ended(TaskStatus.CANCELLED.value), event=EventName.CANCELLED)
        return await self._writes.write_all(flagged, ended)

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
        return await self._writes.write_all(overdue, pipeline)


def _is_suspect(document: dict[str, Any]) -> bool:
    return (document.get("crashes") or 0) >= QUARANTINE_CRASHES


def _owner(document: dict[str, Any]) -> str:
    lease = document.get("lease")
    return str(lease.get("owner")) if isinstance(lease, dict) else ""
