"""The projections of task documents: `agent_runs`, `messages`, `logs` and `sessions`.

Messages and events never change once written, so a projection inserts what is missing, and a repeat changes nothing. If
a step was run anew, its newer run replaces the older. A task counts as projected only at the revision that was read: a
task that has changed meanwhile stays marked. An erased task is not projected, and its copies are removed. Because an
erasure may come while a projection is under way, each projection checks again at its end, and the erasure asks for one.

Tasks are read and copied in parts of a few megabytes: a hundred of them may have more than the process has memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from bson import decode
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo import ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import DuplicateKeyError

from app.domain.identity import TaskId
from app.domain.run_history import agent_runs
from app.domain.task import Task
from app.errors import TaskUnreadable
from app.storage.bulk import insert_missing
from app.storage.documents import READ_AT_ONCE, read_task
from app.storage.mongo import Database, server_time, store_errors

# Tasks are copied as soon as so many bytes of them are read, so that a usual batch takes one round of writes.
PART_BYTES = 4 * 1024 * 1024
# A document that cannot be read loses its mark. Otherwise the sweep would read it first in every round.
_SET_ASIDE = {"$unset": {"unprojected": ""}, "$set": {"projection_failed": True}}


class MongoProjectionRepository:
    """Implements `app.ports.ProjectionRepository`. Workers have `patience_seconds` to project their own tasks."""

    def __init__(self, db: Database, *, patience_seconds: float) -> None:
        self._db = db
        self._tasks = db["tasks"]
        self._patience_seconds = patience_seconds

    async def project(self, task_ids: Sequence[TaskId]) -> None:
        marks_removed = 0
        erased: list[Task] = []
        unread: list[str] = []
        async with aclosing(self._read_parts(task_ids)) as parts:
            async for documents in parts:
                tasks = [task for task in map(_readable, documents) if task is not None]
                marks_removed += await self._copy([task for task in tasks if task.erased_at is None])
                erased += [task for task in tasks if task.erased_at is not None]
                unread += sorted({document["_id"] for document in documents} - {task.id for task in tasks})
        if marks_removed == len(task_ids):
            return  # each task still had the revision that was copied, so none was erased or removed meanwhile
        with store_errors("project marks"):
            # After the inserts: a task that was erased since it was read may have got copies from this projection. The
            # marks of erased tasks go last, so that a process that dies here leaves them to the next round.
            await self._remove_copies_of_the_erased(task_ids)
            await self._remove_marks(erased)
            if unread:
                await self._tasks.update_many({"_id": {"$in": unread}}, _SET_ASIDE)

    async def _read_parts(self, task_ids: Sequence[TaskId]) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Reads the tasks, and yields them as soon as they have `PART_BYTES`."""
        raw_tasks = self._db.get_collection("tasks", codec_options=DEFAULT_RAW_BSON_OPTIONS)
        part: list[dict[str, Any]] = []
        size = 0
        with store_errors("read tasks to project"):
            async for raw in raw_tasks.find({"_id": {"$in": list(task_ids)}}).batch_size(READ_AT_ONCE):
                part.append(decode(raw.raw, self._db.codec_options))
                size += len(raw.raw)
                if size >= PART_BYTES:
                    yield part
                    part, size = [], 0
        if part:
            yield part

    async def _copy(self, tasks: Sequence[Task]) -> int:
        """Copies the tasks, none of them erased, and removes their marks. Returns the number of marks removed."""
        await self._insert_or_renew_runs([run for task in tasks for run in _runs(task)])
        await self._insert_missing("messages", [message for task in tasks for message in _messages(task)])
        await self._insert_missing("logs", [entry for task in tasks for entry in _log_entries(task)])
        await self._insert_or_renew_sessions(_sessions(tasks))
        with store_errors("project marks"):
            return await self._remove_marks(tasks)

    async def _remove_marks(self, tasks: Sequence[Task]) -> int:
        """Removes the marks of the tasks that have not changed since they were read. Returns their number."""
        by_revision: defaultdict[int, list[str]] = defaultdict(list)
        for task in tasks:
            by_revision[task.rev].append(task.id)
        # Most tasks of a batch have the same number of writes behind them, so one update removes most of the marks.
        updates = [
            UpdateMany({"_id": {"$in": ids}, "rev": rev}, {"$unset": {"unprojected": ""}})
            for rev, ids in sorted(by_revision.items())
        ]
        return (await self._tasks.bulk_write(updates, ordered=False)).matched_count if updates else 0

    async def _remove_copies_of_the_erased(self, task_ids: Sequence[TaskId]) -> None:
        kept = await self._tasks.find({"_id": {"$in": list(task_ids)}, "erased_at": None}, {"_id": 1}).to_list()
        gone = sorted(set(task_ids) - {document["_id"] for document in kept})
        if gone:
            await remove_copies(self._db, gone)

    async def find_stale(self, limit: int) -> Sequence[TaskId]:
        with store_errors("find tasks to project"):
            now = await server_time(self._db)
            stale = {"unprojected": True, "changed_at": {"$lt": now - timedelta(seconds=self._patience_seconds)}}
            documents = await self._tasks.find(stale, {"_id": 1}).limit(limit).to_list()
        return [document["_id"] for document in documents]

    async def _insert_or_renew_runs(self, runs: Sequence[dict[str, Any]]) -> None:
        known = await self._insert_missing("agent_runs", runs)
        renewed = [ReplaceOne({"_id": run["_id"], "finished_at": {"$lt": run["finished_at"]}}, run) for run in known]
        await self._renew("agent_runs", renewed)

    async def _insert_or_renew_sessions(self, sessions: Sequence[dict[str, Any]]) -> None:
        known = await self._insert_missing("sessions", sessions)
        renewed = [
            UpdateOne(
                {"_id": session["_id"], "tenant": session["tenant"]}, {"$max": {"updated_at": session["updated_at"]}}
            )
            for session in known
        ]
        await self._renew("sessions", renewed)

    async def _renew(self, collection: str, updates: Sequence[ReplaceOne[dict[str, Any]] | UpdateOne]) -> None:
        if updates:
            with store_errors(f"project {collection}"):
                await self._db[collection].bulk_write(updates, ordered=False)

    async def _insert_missing(self, collection: str, entries: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Inserts the entries. Returns those that were there before."""
        if not entries:
            return []
        with store_errors(f"project {collection}"):
            errors = await insert_missing(self._db[collection], entries)
            for _, error in sorted(errors.items()):
                if not isinstance(error, DuplicateKeyError):
                    raise error
        return [entries[place] for place in sorted(errors)]


async def remove_copies(db: Database, task_ids: Sequence[str]) -> None:
    """Removes all projections of these tasks, except their sessions."""
    for collection in ("agent_runs", "messages", "logs"):
        await db[collection].delete_many({"task_id": {"$in": list(task_ids)}})


def _readable(document: dict[str, Any]) -> Task | None:
    """Converts the document. Returns None if this version cannot read it; such a document is set aside as it is."""
    try:
        return read_task(document)
    except TaskUnreadable:
        return None


def _owner(task: Task) -> dict[str, Any]:
    return {"tenant": task.tenant, "task_id": task.id, "session_id": task.session_id, "request_id": task.request_id}


def _runs(task: Task) -> list[dict[str, Any]]:
    return [{"_id": run.id, **run.model_dump(exclude={"id"})} for run in agent_runs(task)]


def _messages(task: Task) -> list[dict[str, Any]]:
    return [
        {"_id": f"{task.id}:{number}", **_owner(task), **message.model_dump(exclude={"citations"})}
        for number, message in enumerate(task.messages)
    ]


def _log_entries(task: Task) -> list[dict[str, Any]]:
    agent = {"agent_name": task.selected_agent}
    return [
        {"_id": f"{task.id}:{event.rev}:{event.name}", **_owner(task), **agent, **event.model_dump()}
        for event in task.events
    ]


def _sessions(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Builds the sessions of the tasks, each once, with the time of its first and of its last use by them."""
    by_session: defaultdict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in tasks:
        by_session[task.session_id, task.tenant].append(task)
    return [
        {
            "_id": session_id,
            "tenant": tenant,
            "created_at": min(task.created_at for task in used_by),
            "updated_at": max(task.changed_at for task in used_by),
        }
        for (session_id, tenant), used_by in by_session.items()
    ]
