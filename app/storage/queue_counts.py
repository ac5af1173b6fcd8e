"""The size of the queue, over all tenants.

The tasks in flight are as many as the workers have slots, so they are counted each time. Those that wait may be a
million: counting them ends at a limit, and a full count is a scan with a time limit of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
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
            ready = await self._group(Lane.READY, limit)
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

    async def _group(self, lane: Lane, limit: int | None) -> Sequence[dict[str, Any]]:
        """Counts the tasks of a lane by tenant, with the time since which the oldest one waits."""
        pipeline: list[dict[str, Any]] = [{"$match": {"status": TaskStatus.QUEUED.value, "lane": lane.value}}]
        if limit is not None:
            pipeline.append({"$limit": limit})
        pipeline.append({"$group": {"_id": "$tenant", "number": {"$sum": 1}, "oldest": {"$min": _WAITS_SINCE}}})
        return await self._tasks.aggregate(pipeline).to_list()


def _age(now: datetime, group: dict[str, Any]) -> float:
    # Another program may have written a text in place of a date. It must not keep the figures from being published.
    oldest = group["oldest"]
    return max(0.0, (now - oldest).total_seconds()) if isinstance(oldest, datetime) else 0.0
