"""The changes feed: the tasks of all tenants, in the order in which they changed.

A change has the time at which the server wrote it, and may become visible a little later than that. A reader that
continues from a position must itself read the last seconds again to find such late changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pymongo import ASCENDING

from app.domain.change import TaskChange
from app.domain.identity import TaskId
from app.domain.task import UNFINISHED
from app.ports import ChangePage, ChangePosition
from app.storage.documents import log_unreadable
from app.storage.mongo import Database, scan_time, server_time, store_errors

# No field whose text can be long: the feed is read for thousands of tasks at once, and results have up to 4 MiB.
_FIELDS = dict.fromkeys(
    (
        "tenant",
        "rev",
        "changed_at",
        "status",
        "idempotency_key",
        "source",
        "selected_agent",
        "routing",
        "attempts",
        "queued_at",
        "started_at",
        "completed_at",
        "cancel_requested_at",
        "usage",
        "result.summary",
        "result.size_bytes",
        "result.sha256",
        "error",
        "traceparent",
        "erased_at",
    ),
    1,
)


class MongoChangeRepository:
    """Implements `app.ports.ChangeRepository` on the collection `tasks`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks = db["tasks"]

    async def now(self) -> datetime:
        return await server_time(self._db)

    async def after(self, position: ChangePosition, *, limit: int) -> ChangePage:
        # Two ranges of the index `changes` instead of one `$or`, for which the embedded server reads all documents.
        at, task_id = position.changed_at, position.task_id
        documents = await self._read({"changed_at": at, "_id": {"$gt": task_id}}, limit) if task_id else []
        if len(documents) < limit:
            later = {"changed_at": {"$gt" if task_id else "$gte": at}}
            documents += await self._read(later, limit - len(documents))
        last = documents[-1] if documents else None
        return ChangePage(
            items=_changes(documents),
            end=position if last is None else ChangePosition(last["changed_at"], last["_id"]),
            full=len(documents) == limit,
        )

    async def _read(self, which: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
        with store_errors("read changes"):
            found = self._tasks.find(which, _FIELDS).sort([("changed_at", ASCENDING), ("_id", ASCENDING)])
            documents: list[dict[str, Any]] = await found.limit(limit).to_list()
        return documents

    async def find(self, task_ids: Sequence[TaskId]) -> Sequence[TaskChange]:
        with store_errors(f"find {len(task_ids)} tasks"):
            documents = await self._tasks.find({"_id": {"$in": list(task_ids)}}, _FIELDS).to_list()
        return _changes(documents)

    async def unfinished(self, *, cluster: str, after: str, limit: int) -> tuple[Sequence[TaskChange], str | None]:
        of_cluster = {"status": {"$in": sorted(UNFINISHED)}, "source.cluster": cluster, "_id": {"$gt": after}}
        # No index has the clusters: every write of a task would pay for what a survey reads every few minutes.
        with store_errors("list unfinished tasks"), scan_time():
            documents = await self._tasks.find(of_cluster, _FIELDS).sort([("_id", ASCENDING)]).limit(limit).to_list()
        return _changes(documents), documents[-1]["_id"] if len(documents) == limit else None


def _changes(documents: Sequence[Mapping[str, Any]]) -> list[TaskChange]:
    """Converts the documents. Logs and leaves out tasks of another version that this one does not understand."""
    changes = []
    for document in documents:
        try:
            changes.append(TaskChange.model_validate({**document, "id": document["_id"]}))
        except ValidationError as error:
            log_unreadable(document, error)
    return changes
