"""Projections of task documents: `agent_runs`, `messages`, `logs` and `sessions`.

Messages and events never change once written, so projecting is inserting what is missing and twice changes nothing; of
a step that was run anew the newer stands. The mark that a task is projected names the revision that was read: one that
moved on meanwhile stays marked. Of an erased task nothing is projected, and what was is removed: an erasure may come
while a projection is under way, so each one looks again at its end, and the erasure itself asks for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from app.domain.identity import TaskId
from app.domain.journal import agent_runs
from app.domain.task import Task
from app.errors import TaskUnreadable
from app.storage.documents import read_task
from app.storage.mongo import Database, server_time, store_errors

_DUPLICATE_KEY = 11000
# A document that cannot be read must not be looked at again and again, before all that can.
_SET_ASIDE = {"$unset": {"unprojected": ""}, "$set": {"projection_failed": True}}


class MongoProjectionRepository:
    """Implements `app.ports.ProjectionRepository`. `patience_seconds`: time workers have to project their own."""

    def __init__(self, db: Database, *, patience_seconds: float) -> None:
        self._db = db
        self._tasks = db["tasks"]
        self._patience_seconds = patience_seconds

    async def project(self, task_ids: Sequence[TaskId]) -> None:
        with store_errors("read tasks to project"):
            documents = await self._tasks.find({"_id": {"$in": list(task_ids)}}).to_list()
        tasks = [task for task in map(_readable, documents) if task is not None]
        present = [task for task in tasks if task.erased_at is None]
        await self._insert_or_renew_runs([run for task in present for run in _runs(task)])
        await self._insert_missing("messages", [message for task in present for message in _messages(task)])
        await self._insert_missing("logs", [entry for task in present for entry in _log_entries(task)])
        with store_errors("project sessions and marks"):
            if present:
                await self._db["sessions"].bulk_write([_session(task) for task in present], ordered=False)
            if present:
                await self._tasks.bulk_write([_mark(task) for task in present], ordered=False)
            await self._remove_copies_of_the_erased(task_ids)
            if erased := [task for task in tasks if task.erased_at is not None]:
                await self._tasks.bulk_write([_mark(task) for task in erased], ordered=False)
            unread = {document["_id"] for document in documents} - {task.id for task in tasks}
            if unread:
                await self._tasks.update_many({"_id": {"$in": sorted(unread)}}, _SET_ASIDE)

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
        if known:
            renewed = [
                ReplaceOne({"_id": run["_id"], "finished_at": {"$lt": run["finished_at"]}}, run) for run in known
            ]
            with store_errors("project agent_runs"):
                await self._db["agent_runs"].bulk_write(renewed, ordered=False)

    async def _insert_missing(self, collection: str, entries: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """The entries that were there before."""
        if not entries:
            return []
        with store_errors(f"project {collection}"):
            try:
                await self._db[collection].insert_many(entries, ordered=False)
            except BulkWriteError as error:
                problems = error.details.get("writeErrors", []) if error.details else []
                if any(problem.get("code") != _DUPLICATE_KEY for problem in problems):
                    raise
                return [entries[problem["index"]] for problem in problems]
        return []


async def remove_copies(db: Database, task_ids: Sequence[str]) -> None:
    """Removes whatever is projected of these tasks."""
    for collection in ("agent_runs", "messages", "logs"):
        await db[collection].delete_many({"task_id": {"$in": list(task_ids)}})


def _readable(document: dict[str, Any]) -> Task | None:
    """The task, None where another version wrote what this one cannot read: it is set aside, nothing in it is lost."""
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
        {"_id": f"{task.id}:{number}", **_owner(task), **message.model_dump()}
        for number, message in enumerate(task.messages)
    ]


def _log_entries(task: Task) -> list[dict[str, Any]]:
    agent = {"agent_name": task.selected_agent}
    return [
        {"_id": f"{task.id}:{event.rev}:{event.name}", **_owner(task), **agent, **event.model_dump()}
        for event in task.events
    ]


def _session(task: Task) -> UpdateOne:
    return UpdateOne(
        {"_id": task.session_id, "tenant": task.tenant},
        {
            "$setOnInsert": {"created_at": task.created_at},
            "$max": {"updated_at": task.changed_at},
        },
        upsert=True,
    )


def _mark(task: Task) -> UpdateOne:
    return UpdateOne({"_id": task.id, "rev": task.rev}, {"$unset": {"unprojected": ""}})
