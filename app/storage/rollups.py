"""The hourly figures of finished tasks in `system_metrics`, one document per tenant and hour.

A finished task counts in the hour in which it ended. That hour never changes, so a full hour is counted only once.
Latencies are counted in buckets of a logarithmic scale, twenty per factor of ten: a percentile read from them is at
most 6 % wrong, and the counts of hours and tenants can be added.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne

from app.domain.identity import Tenant
from app.domain.task import TaskStatus
from app.storage.mongo import Database
from app.storage.writes import Expression, literal, milliseconds

HOUR = timedelta(hours=1)
BUCKETS_PER_DECADE = 20
NO_AGENT = "none"
# Writes that were under way when an hour ended are in the database after this time.
_SETTLED = timedelta(minutes=1)
_MARK = "roll_up"


@dataclass(frozen=True)
class Row:
    """The number of tasks with this end. `bucket` is floor(20 · log10(milliseconds from acceptance to the end))."""

    status: TaskStatus
    agent: str
    bucket: int
    count: int


async def finished_rows(db: Database, tenant: Tenant | None, *, since: datetime) -> Sequence[Row]:
    """Counts the tasks that ended at or after `since`."""
    documents = await db["tasks"].aggregate(_count_finished(since, None, tenant)).to_list()
    return [_row({**document["_id"], "count": document["count"]}) for document in documents]


async def rolled_rows(db: Database, tenant: Tenant | None, *, since: datetime, until: datetime) -> Sequence[Row]:
    query: dict[str, Any] = {"hour": {"$gte": since, "$lt": until}}
    if tenant is not None:
        query["tenant"] = tenant
    documents = await db["system_metrics"].find(query, {"rows": 1}).to_list()
    return [_row(row) for document in documents for row in document["rows"]]


async def rolled_until(db: Database) -> datetime | None:
    """Reads the end of the last hour that was rolled up; None before the first."""
    mark = await db["system"].find_one({"_id": _MARK})
    return None if mark is None else mark["until"]


async def roll_up(db: Database, now: datetime) -> None:
    """Writes the full hours that are not written yet, one at a time, and moves the mark after each one.

    So a leader that has many hours to make up gets further with each round. A repeat changes nothing.
    """
    horizon = start_of_hour(now - _SETTLED)
    since = await rolled_until(db)
    if since is None:
        until = await _first_end(db, horizon)
        await _roll_up_until(db, None, until)
        since = until
    while since < horizon:
        await _roll_up_until(db, since, since + HOUR)
        since += HOUR


async def _first_end(db: Database, horizon: datetime) -> datetime:
    """Returns the end of the first hour to roll up, which takes along everything before it."""
    first = await db["tasks"].find_one({}, {"changed_at": 1}, sort=[("changed_at", 1)])
    return horizon if first is None else min(horizon, start_of_hour(first["changed_at"]) + HOUR)


async def _roll_up_until(db: Database, since: datetime | None, until: datetime) -> None:
    documents = await db["tasks"].aggregate(_count_finished(since, until, None)).to_list()
    hours: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for document in documents:
        group = document["_id"]
        hours.setdefault((group["tenant"], int(group["hour"])), []).append({**group, "count": document["count"]})
    if hours:
        writes = [_write(tenant, hour, rows, until) for (tenant, hour), rows in sorted(hours.items())]
        await db["system_metrics"].bulk_write(writes, ordered=False)
    # The mark moves last and only forward. If a leader dies before this, the next one writes the hour again.
    await db["system"].update_one({"_id": _MARK}, {"$max": {"until": until}}, upsert=True)


def start_of_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def percentile(buckets: Counter[int], share: float) -> float | None:
    """Returns the latency in seconds that this share of the tasks stayed below; None without a task."""
    rank = math.ceil(share * buckets.total())
    seen = 0
    for bucket, count in sorted(buckets.items()):
        seen += count
        if seen >= rank:
            return float(round(10 ** ((bucket + 0.5) / BUCKETS_PER_DECADE) / 1000, 3))
    return None


def _count_finished(since: datetime | None, until: datetime | None, tenant: Tenant | None) -> list[dict[str, Any]]:
    ended = {operator: bound for operator, bound in (("$gte", since), ("$lt", until)) if bound is not None}
    query: dict[str, Any] = {"completed_at": ended}
    if since is not None:
        query["changed_at"] = {"$gte": since}  # for the index: a task never ends after its last change
    if tenant is not None:
        query["tenant"] = tenant
    ended_ms = milliseconds("$completed_at")
    latency_ms = {"$max": [1, {"$subtract": [ended_ms, milliseconds("$created_at")]}]}
    # The hour by arithmetic: not every compatible server has `$dateTrunc`.
    group: Expression = {
        "tenant": "$tenant",
        "hour": {"$subtract": [ended_ms, {"$mod": [ended_ms, 3_600_000]}]},
        "status": "$status",
        "agent": {"$ifNull": ["$selected_agent", NO_AGENT]},
        "bucket": {"$floor": {"$multiply": [BUCKETS_PER_DECADE, {"$log10": latency_ms}]}},
    }
    return [{"$match": query}, {"$group": {"_id": group, "count": {"$sum": 1}}}]


def _row(document: dict[str, Any]) -> Row:
    return Row(
        status=TaskStatus(document["status"]),
        agent=document["agent"],
        bucket=int(document["bucket"]),
        count=int(document["count"]),
    )


def _write(tenant: str, hour_ms: int, groups: Iterable[dict[str, Any]], horizon: datetime) -> UpdateOne:
    hour = datetime.fromtimestamp(hour_ms / 1000, tz=horizon.tzinfo)
    rows = [{name: group[name] for name in ("status", "agent", "bucket", "count")} for group in groups]
    document = {"tenant": tenant, "hour": hour, "rows": rows}
    return UpdateOne(
        {"_id": f"{tenant}:{hour:%Y-%m-%dT%H}"},
        [{"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, literal(document)]}}],
        upsert=True,
    )
