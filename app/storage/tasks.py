"""The tasks of tenants: insert, read, list, cancel, erase.

A task is accepted when its document is inserted: the document is the outbox, too. Every read and write filters on the
tenant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import encode
from bson.raw_bson import RawBSONDocument
from pydantic import ValidationError
from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from app.domain.cursor import decode_cursor, encode_cursor
from app.domain.fairness import Lane
from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.message import MessageRole
from app.domain.run import EventName
from app.domain.task import UNFINISHED, NewTask, Task, TaskStatus, TaskSummary
from app.errors import TaskErased, TaskNotFound
from app.ports import Clock, StoredTask, TaskFilter, TaskPage
from app.storage.batching import Batches
from app.storage.bulk import insert_missing
from app.storage.documents import log_unreadable, read_task
from app.storage.lanes import queued
from app.storage.mongo import CODEC_ERRORS, Database, store_errors
from app.storage.projections import remove_copies
from app.storage.server_clock import ServerClock
from app.storage.writes import Expression, change, literal, task_ended

PREVIEW_CHARACTERS = 200
INSERT_BATCH = 100  # a task has 32 KiB of text, and metadata of as much
_SUMMARY_FIELDS = dict.fromkeys(
    (
        "session_id",
        "status",
        "selected_agent",
        "agent_type",
        "priority",
        "created_at",
        "queued_at",
        "started_at",
        "completed_at",
        "error",
        "usage",
    ),
    1,
) | {"task": 1}
# The fields that an erasure removes: everything that a person wrote, or that was written for one.
_TEXTS = ("metadata", "history", "messages", "result", "routing", "peer_routing_reason", "steps", "error")


@dataclass(frozen=True)
class _Insert:
    """One task to insert."""

    task: NewTask
    dispatched: bool
    new_session: bool


class MongoTaskRepository:
    """Implements `app.ports.TaskRepository` on the collection `tasks`. Tasks expire at the age of `expiry_seconds`."""

    def __init__(self, db: Database, *, expiry_seconds: int, clock: Clock) -> None:
        self._db = db
        self._tasks = db["tasks"]
        self._expiry = timedelta(seconds=expiry_seconds)
        self._server_clock = ServerClock(db, clock)
        self._inserts: Batches[_Insert, dict[str, Any] | None] = Batches(self._insert_all, most=INSERT_BATCH)

    async def insert(self, task: NewTask, *, dispatched: bool, new_session: bool) -> StoredTask:
        with store_errors(f"insert task {task.id}"):
            document = await self._inserts.join(_Insert(task=task, dispatched=dispatched, new_session=new_session))
        if document is None:
            return StoredTask(await self.get(task.tenant, task.id), is_new=False)
        return StoredTask(read_task(document), is_new=True)

    async def _insert_all(self, inserts: Sequence[_Insert]) -> Sequence[dict[str, Any] | Exception | None]:
        """Inserts the tasks. Returns for each its document, None if it was there before, or the error."""
        now = await self._server_clock.now()  # here, because a task may have waited for its batch
        answers: list[dict[str, Any] | Exception | None] = []
        encoded: dict[int, RawBSONDocument] = {}
        for place, insert in enumerate(inserts):
            try:
                document = self._new_document(insert, now)
                encoded[place] = RawBSONDocument(encode(document))
                answers.append(document)
            except CODEC_ERRORS as error:  # it must not fail the others
                answers.append(error)
        errors = await insert_missing(self._tasks, list(encoded.values())) if encoded else {}
        for number, place in enumerate(encoded):
            if (refused := errors.get(number)) is not None:
                answers[place] = None if isinstance(refused, DuplicateKeyError) else refused
        return answers

    def _new_document(self, insert: _Insert, now: datetime) -> dict[str, Any]:
        task = insert.task
        due_at = task.run_at or now
        document = task.model_dump(exclude={"id"}, exclude_none=True)
        document |= {"_id": task.id, "status": TaskStatus.QUEUED.value, "rev": 1, "steps": {}}
        document |= dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), now)
        document |= {
            "due_at": due_at,
            "expires_at": max(due_at, now) + self._expiry,
            "dispatch_seq": int(insert.dispatched),
            "messages": [{"role": MessageRole.USER.value, "content": task.task, "created_at": now}],
            "events": [{"rev": 1, "name": EventName.QUEUED.value, "at": now, "detail": {}}],
            "unprojected": True,
        }
        if insert.new_session:
            document["history"] = []
        if insert.dispatched:
            return document | {"lane": Lane.DISPATCHED.value, "dispatched_at": now}
        if task.run_at is None:
            return document | {"lane": Lane.READY.value}
        return document | {"lane": Lane.DELAYED.value, "delayed_until": due_at}

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        with store_errors(f"read task {task_id}"):
            document = await self._tasks.find_one({"_id": task_id})
        return read_task(_readable(document, tenant, task_id))

    async def has_ended(self, tenant: Tenant, task_id: TaskId) -> bool:
        with store_errors(f"read task {task_id}"):
            document = await self._tasks.find_one({"_id": task_id}, {"tenant": 1, "status": 1, "erased_at": 1})
        return _readable(document, tenant, task_id)["status"] not in UNFINISHED

    async def find_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        query = _query(tenant, task_filter)
        if cursor is not None:
            created_at, last_id = decode_cursor(cursor, datetime, str)
            query["$or"] = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": last_id}}]
        with store_errors("list tasks"):
            found = self._tasks.find(query, _SUMMARY_FIELDS)
            # One more than the page shows whether there is a next one.
            documents = await found.sort([("created_at", DESCENDING), ("_id", DESCENDING)]).limit(limit + 1).to_list()
        page = documents[:limit]
        more = len(documents) > limit
        return TaskPage(
            items=[summary for summary in map(_summary, page) if summary is not None],
            next_cursor=encode_cursor([page[-1]["created_at"], page[-1]["_id"]]) if more else None,
        )

    async def count_queued(self, tenant: Tenant, *, up_to: int) -> int:
        with store_errors("count queued tasks"):
            return int(await self._tasks.count_documents(queued(tenant), limit=up_to))

    async def request_cancel(self, tenant: Tenant, task_id: TaskId) -> Task:
        mine = {"_id": task_id, "tenant": tenant}
        ended = change(
            {**task_ended(TaskStatus.CANCELLED.value), "cancel_requested_at": "$$NOW"}, event=EventName.CANCELLED
        )
        flagged = change({"cancel_requested_at": "$$NOW"}, event=EventName.CANCEL_REQUESTED)
        running = {**mine, "status": TaskStatus.PROCESSING.value, "cancel_requested_at": None}
        # The task may be claimed or requeued between the read and the updates. Then neither matches: it is read again.
        while True:
            task = await self.get(tenant, task_id)
            if task.status.terminal or task.cancel_requested_at is not None:
                return task
            with store_errors(f"cancel task {task_id}"):
                result = await self._tasks.update_one({**mine, "status": TaskStatus.QUEUED.value}, ended)
                if not result.matched_count:
                    await self._tasks.update_one(running, flagged)

    async def erase_session(self, tenant: Tenant, session_id: SessionId) -> Sequence[TaskId]:
        mine = {"tenant": tenant, "session_id": session_id}
        removed: dict[str, Expression] = dict.fromkeys(_TEXTS, "$$REMOVE")
        removed |= {"task": literal("(erased)"), "source": literal({}), "events": literal([]), "erased_at": "$$NOW"}
        removed |= {"unprojected": literal(True)}  # a projection under way may leave copies: the sweep removes them
        with store_errors(f"erase session {session_id}"):
            ids = [document["_id"] for document in await self._tasks.find(mine, {"_id": 1}).to_list()]
            unfinished = {"status": {"$in": sorted(UNFINISHED)}}
            ended = {**task_ended(TaskStatus.CANCELLED.value), **removed, "lease": "$$REMOVE"}
            # The status and the missing lease make the next fenced write or heartbeat of a run fail: it is discarded.
            await self._tasks.update_many({**mine, **unfinished}, change(ended))
            await self._tasks.update_many(mine, change(removed))
            await remove_copies(self._db, ids)
        return ids


def _readable(document: dict[str, Any] | None, tenant: Tenant, task_id: TaskId) -> dict[str, Any]:
    """Returns the document. Raises TaskNotFound if the tenant has none, TaskErased if only its id is kept."""
    if document is None or document["tenant"] != tenant:
        raise TaskNotFound(f"There is no task {task_id}; check the id and the key's tenant.")
    if document.get("erased_at") is not None:
        raise TaskErased(f"Task {task_id} was erased on request; only its id is kept.")
    return document


def _query(tenant: Tenant, task_filter: TaskFilter) -> dict[str, Any]:
    query: dict[str, Any] = {"tenant": tenant, "erased_at": None}
    if task_filter.status is not None:
        query["status"] = task_filter.status.value
    if task_filter.agent_type is not None:
        query["agent_type"] = task_filter.agent_type
    if task_filter.session_id is not None:
        query["session_id"] = task_filter.session_id
    if task_filter.id_prefix is not None:
        # As a range, so that the index of the ids is used. No sign of a UUID is greater than `f`.
        query["_id"] = {"$gte": task_filter.id_prefix, "$lt": f"{task_filter.id_prefix}g"}
    bounds = {"$gte": task_filter.created_from, "$lt": task_filter.created_to}
    if created := {operator: bound for operator, bound in bounds.items() if bound is not None}:
        query["created_at"] = created
    if task_filter.text is not None:
        # A scan of the tenant's tasks: compatible servers have no text index.
        query["task"] = {"$regex": re.escape(task_filter.text), "$options": "i"}
    return query


def _summary(document: dict[str, Any]) -> TaskSummary | None:
    """Converts the document. Returns None, and logs, if another version wrote it in a way that this one cannot read."""
    preview = document.pop("task", "")[:PREVIEW_CHARACTERS]
    try:
        return TaskSummary.model_validate({**document, "id": document["_id"], "task_preview": preview})
    except ValidationError as error:
        log_unreadable(document, error)
        return None
