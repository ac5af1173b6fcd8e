"""The intake switch, the figures of today, and a check that the database answers.

Counting is expensive for the database, so callers cache the figures. Finished tasks of full hours come from the
roll-ups; those of the current hour and the unfinished ones are counted live. Counting queued tasks ends at a limit.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from app.domain.identity import Tenant
from app.domain.intake import Intake
from app.domain.task import TaskStatus
from app.ports import TaskStatistics
from app.storage.careful_writes import Filter
from app.storage.lanes import queued
from app.storage.mongo import Database, scan_time, server_time, store_errors
from app.storage.queue_counts import COUNT_LIMIT
from app.storage.rollups import NO_AGENT, finished_rows, percentile, roll_up, rolled_rows, rolled_until

_INTAKE = "intake"


class MongoSystemRepository:
    """Implements `app.ports.SystemRepository` on the collections `system`, `system_metrics` and `tasks`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def intake(self) -> Intake:
        with store_errors("read the intake switch"):
            document = await self._db["system"].find_one({"_id": _INTAKE})
        if document is None:
            return Intake()
        return Intake(accepting=document["accepting"], reason=document["reason"])

    async def set_intake(self, intake: Intake) -> None:
        switch = {"accepting": intake.accepting, "reason": intake.reason}
        with store_errors("set the intake switch"):
            await self._db["system"].update_one({"_id": _INTAKE}, {"$set": switch}, upsert=True)

    async def statistics(self, tenant: Tenant | None) -> TaskStatistics:
        now = await server_time(self._db)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        with store_errors("count today's tasks"):
            # Counting live begins where the roll-ups end, or at midnight if the leader has rolled up nothing today.
            live_from = max(midnight, await rolled_until(self._db) or midnight)
            rolled = await rolled_rows(self._db, tenant, since=midnight, until=live_from)
            live = await finished_rows(self._db, tenant, since=live_from)
            # As many are running as the workers have slots. A million may be queued.
            mine = {} if tenant is None else {"tenant": tenant}
            running = await self._count_by_agent({"status": TaskStatus.PROCESSING.value, **mine})
            waiting = await self._count_by_agent(queued(tenant), limit=COUNT_LIMIT)
        by_status: Counter[TaskStatus] = Counter()
        by_agent: Counter[str] = Counter()
        latencies: Counter[int] = Counter()
        for row in (*rolled, *live):
            by_status[row.status] += row.count
            by_agent[row.agent] += row.count
            if row.status is TaskStatus.COMPLETED:
                latencies[row.bucket] += row.count
        by_status.update({TaskStatus.PROCESSING: running.total(), TaskStatus.QUEUED: waiting.total()})
        by_agent += running + waiting
        del by_agent[NO_AGENT]
        return TaskStatistics(
            today_by_status={status: by_status[status] for status in TaskStatus},
            by_agent=dict(sorted(by_agent.items())),
            exact=waiting.total() < COUNT_LIMIT,
            latency_p50_seconds=percentile(latencies, 0.5),
            latency_p95_seconds=percentile(latencies, 0.95),
        )

    async def _count_by_agent(self, which: Filter, *, limit: int | None = None) -> Counter[str]:
        pipeline: list[dict[str, Any]] = [{"$match": which}]
        if limit is not None:
            pipeline.append({"$limit": limit})
        pipeline.append({"$group": {"_id": {"$ifNull": ["$selected_agent", NO_AGENT]}, "count": {"$sum": 1}}})
        documents = await self._db["tasks"].aggregate(pipeline).to_list()
        return Counter({document["_id"]: int(document["count"]) for document in documents})

    async def roll_up(self) -> None:
        now = await server_time(self._db)
        with store_errors("roll up the last hours"), scan_time():
            await roll_up(self._db, now)

    async def ping(self) -> None:
        await server_time(self._db)
