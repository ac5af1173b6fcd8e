"""The lanes of queued tasks: the field `lane`, which every write that queues or releases a task sets.

The index `lanes` begins with status and lane. So the leader reads the tasks that it may release, however many delayed
and quarantined ones there are. `delayed_until` exists while a task is delayed; its index is sparse.

Version 0.1 neither writes nor reads the two fields. While both versions run, `sort_into_lanes` finds what its APIs and
workers left in the wrong lane, and `sort_all_lanes` what its leader did. A lane never decides whether a task may run:
every write checks the fields that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.domain.fairness import QUARANTINE_CRASHES, WAITING_LANES, Lane
from app.domain.identity import TaskId, Tenant
from app.domain.task import TaskStatus
from app.storage.careful_writes import CarefulWrites, Filter, Pipeline
from app.storage.mongo import Database
from app.storage.writes import change, milliseconds

# So many a second are sorted at most, or an upgrade with a million waiting tasks would keep them from being released.
SORT_BATCH = 500
BATCHES = 5


def queued(tenant: Tenant | None) -> Filter:
    """Builds the filter for the queued tasks of a tenant, or of all: one range of the index for each lane.

    Without the lanes the database reads the queued tasks of all tenants to find those of one.
    """
    lanes = [lane.value for lane in Lane]
    everybodys: Filter = {"status": TaskStatus.QUEUED.value, "lane": {"$in": [None, *lanes]}}
    return everybodys if tenant is None else {**everybodys, "tenant": tenant}


def sort() -> dict[str, Any]:
    """Builds the stage of a pipeline that moves a queued task into the lane that fits its other fields."""
    sent = {"$gt": ["$dispatched_at", None]}
    # Numbers, because the embedded server compares dates with `$$NOW` wrongly.
    early = {"$gt": [milliseconds("$due_at"), milliseconds("$$NOW")]}
    suspect = {"$gte": [{"$ifNull": ["$crashes", 0]}, QUARANTINE_CRASHES]}
    waits = {"$cond": [suspect, Lane.QUARANTINED.value, Lane.READY.value]}
    lane = {"$cond": [sent, Lane.DISPATCHED.value, {"$cond": [early, Lane.DELAYED.value, waits]}]}
    delayed = {"$and": [{"$not": [sent]}, early]}
    return {"$set": {"lane": lane, "delayed_until": {"$cond": [delayed, "$due_at", "$$REMOVE"]}}}


def match_in_two_steps(looked_up: Filter, rest: Filter) -> Pipeline:
    """Builds the first stages of a query whose first filter is the beginning of an index.

    Of the two filters together the embedded server would look up one field only, the status, and read all queued tasks.
    Other servers join the two stages.
    """
    return [{"$match": looked_up}, {"$match": rest}]


async def take_back(db: Database, task_ids: Sequence[TaskId]) -> None:
    """Marks dispatched tasks as waiting again. Leaves claimed ones."""
    sent = {"_id": {"$in": list(task_ids)}, "status": TaskStatus.QUEUED.value, "dispatched_at": {"$ne": None}}
    await db["tasks"].update_many(sent, [*change({"dispatched_at": "$$REMOVE"}), sort()])


class LaneSorter:
    """The moves of tasks whose lane no longer fits their other fields. A call moves a few thousand at most."""

    def __init__(self, db: Database) -> None:
        self._tasks = db["tasks"]
        self._writes = CarefulWrites(db["tasks"])

    async def sort_due(self, now: datetime) -> None:
        """Moves the delayed tasks that are due into the lane in which they wait from now on."""
        await self._sort({"delayed_until": {"$lte": now}}, {})

    async def sort_strays(self) -> None:
        """Moves the tasks that version 0.1 queued, and left without a lane or in that of dispatched ones."""
        queued = {"status": TaskStatus.QUEUED.value}
        await self._sort({**queued, "lane": None}, {})
        await self._sort({**queued, "lane": Lane.DISPATCHED.value}, {"dispatched_at": None})

    async def sort_left_by_leaders(self) -> None:
        """Moves the tasks that a leader of another version left in a lane that does not fit. Reads all queued tasks."""
        queued = {"status": TaskStatus.QUEUED.value}
        waited = {"$in": [lane.value for lane in (*WAITING_LANES, Lane.DELAYED)]}
        await self._writes.write_all({**queued, "lane": waited, "dispatched_at": {"$ne": None}}, [sort()])
        suspects = {"lane": Lane.READY.value, "crashes": {"$gte": QUARANTINE_CRASHES}}
        await self._writes.write_all({**queued, **suspects}, [sort()])
        # A later version may have lanes of its own, which a rollback leaves behind.
        await self._writes.write_all({**queued, "lane": {"$nin": [None, *(lane.value for lane in Lane)]}}, [sort()])

    async def _sort(self, looked_up: Filter, rest: Filter) -> None:
        stages = match_in_two_steps(looked_up, self._writes.without_set_aside(rest))
        for _ in range(BATCHES):
            found = await self._tasks.aggregate([*stages, {"$limit": SORT_BATCH}, {"$project": {"_id": 1}}]).to_list()
            if found:
                # No new revision: nothing changes that a caller is shown.
                ids = [document["_id"] for document in found]
                await self._writes.write_all({"_id": {"$in": ids}, **looked_up, **rest}, [sort()])
            if len(found) < SORT_BATCH:
                return
