"""The size of the queue, over all tenants.

The tasks in flight are as many as the workers have slots, so they are counted each time. Those that wait may be a
million: counting them ends at a limit, and a full count is a scan with a time limit of its own. Tasks are read in the
order of their tenants, so beyond the limit a few further reads look for the tenants that the first one did not reach.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from app.domain.fairness import Lane
from app.domain.identity import Tenant
from app.domain.task import TaskStatus
from app.ports import QueueCounts
from app.storage.in_flight import count_in_flight
from app.storage.mongo import Database, scan_time, server_time, store_errors

# On FerretDB 10,000 take a tenth of a second.
COUNT_LIMIT = 10_000
# Each further read gets past at least one tenant with very many tasks, and costs a tenth of the first one.
FURTHER_LIMIT = 1_000
FURTHER_READS = 4
# Every return to the queue moves the due time; it is missing in no document of this version.
_WAITS_SINCE = {"$ifNull": ["$due_at", "$queued_at"]}


class MongoQueueCounter:
    """Implements `app.ports.QueueCounter` on the collection `tasks`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks = db["tasks"]

    async def counts(self) -> QueueCounts:
        return await self._count(COUNT_LIMIT, contextlib.nullcontext())

    async def count_all(self) -> QueueCounts:
        return await self._count(None, scan_time())

    async def _count(self, limit: int | None, time: AbstractContextManager[None]) -> QueueCounts:
        now = await server_time(self._db)
        with store_errors("count tasks"), time:
            ready = await self._ready(limit)
            quarantined = await self._group(Lane.QUARANTINED, limit)
            sent = await self._group(Lane.DISPATCHED, limit)
            in_flight = await count_in_flight(self._tasks)
        waiting = sum(group["number"] for group in (*ready, *quarantined))
        return QueueCounts(
            by_tenant={Tenant(group["_id"]): group["number"] for group in ready},
            oldest_by_tenant={Tenant(group["_id"]): _age(now, group) for group in ready},
            quarantined=sum(group["number"] for group in quarantined),
            in_flight=in_flight,
            oldest_age_seconds=max((_age(now, group) for group in (*ready, *quarantined, *sent)), default=0.0),
            exact=limit is None or waiting < limit,
        )

    async def _ready(self, limit: int | None) -> Sequence[dict[str, Any]]:
        """Counts the tasks of the lane `ready`, and some of each tenant that the limit would hide."""
        found = {group["_id"]: group for group in await self._group(Lane.READY, limit)}
        if limit is None or sum(group["number"] for group in found.values()) < limit:
            return list(found.values())
        tenants = set(await self._tasks.distinct("tenant", _in_lane(Lane.READY)))
        for _ in range(FURTHER_READS):
            hidden = tenants - found.keys()
            if not hidden:
                break
            further = await self._group(Lane.READY, FURTHER_LIMIT, {"tenant": {"$in": list(hidden)}})
            found |= {group["_id"]: group for group in further}
        return list(found.values())

    async def _group(
        self, lane: Lane, limit: int | None, which: Mapping[str, Any] | None = None
    ) -> Sequence[dict[str, Any]]:
        """Counts the tasks of a lane by tenant, with the time since which the oldest one waits."""
        pipeline: list[dict[str, Any]] = [{"$match": {**_in_lane(lane), **(which or {})}}]
        if limit is not None:
            pipeline.append({"$limit": limit})
        pipeline.append({"$group": {"_id": "$tenant", "number": {"$sum": 1}, "oldest": {"$min": _WAITS_SINCE}}})
        return await self._tasks.aggregate(pipeline).to_list()


def _in_lane(lane: Lane) -> dict[str, Any]:
    return {"status": TaskStatus.QUEUED.value, "lane": lane.value}


def _age(now: datetime, group: dict[str, Any]) -> float:
    # Another program may have written a text in place of a date. It must not keep the figures from being published.
    oldest = group["oldest"]
    return max(0.0, (now - oldest).total_seconds()) if isinstance(oldest, datetime) else 0.0
