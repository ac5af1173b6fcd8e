"""The removal of documents whose time is over: tasks with their copies, lifecycle events, sessions, idempotency keys.

A task goes when its time to live is over; the write that ended it has stored that moment. A session or a key goes at
its age, but never while a task of it is stored. Those without a task are found by walking through their collections,
which needs no index that every task would pay for. A removal names what was read of a session or a key, so that one
that is used meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import ASCENDING, DeleteOne

from app.settings import RetentionSettings
from app.storage.idempotency import mark_keys_accepted
from app.storage.mongo import Database, server_time, store_errors
from app.storage.projections import remove_copies

# A task has a dozen copies. A batch of tasks takes the embedded server a second, and others wait for its answers.
TASK_BATCH = 200
EVENT_BATCH = 1_000
WALK_BATCH = 500
# The times at which a session was used, as far as it has them: a tombstone may have been no session before.
_USES = ("created_at", "updated_at", "erased_at")


@dataclass
class _Walk:
    """Walks through a collection in the order of the ids, one part after another, again and again."""

    collection: AsyncIOMotorCollection[dict[str, Any]]
    fields: tuple[str, ...]
    after: str | None = None

    async def read(self) -> list[dict[str, Any]]:
        """Reads the next part."""
        rest = {} if self.after is None else {"_id": {"$gt": self.after}}
        found = self.collection.find(rest, dict.fromkeys(self.fields, 1))
        return await found.sort([("_id", ASCENDING)]).limit(WALK_BATCH).to_list()

    async def remove(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Removes the documents, except those that have changed since they were read."""
        if documents:
            seen = [{"_id": found["_id"], **{name: found.get(name) for name in self.fields}} for found in documents]
            await self.collection.bulk_write([DeleteOne(one) for one in seen], ordered=False)

    def move_behind(self, part: Sequence[Mapping[str, Any]]) -> bool:
        """Moves on to the next part. Returns False at the end, from where the walk begins anew."""
        more = len(part) == WALK_BATCH
        self.after = part[-1]["_id"] if more else None
        return more


class MongoRetentionRepository:
    """Implements `app.ports.Retention`. Each process walks for itself; only the leader does so."""

    def __init__(self, db: Database, settings: RetentionSettings) -> None:
        self._db = db
        self._tasks = db["tasks"]
        self._event_age = timedelta(seconds=settings.log_seconds)
        self._session_age = timedelta(seconds=settings.session_seconds)
        self._key_age = timedelta(seconds=settings.key_seconds)
        self._sessions = _Walk(db["sessions"], _USES)
        self._keys = _Walk(db["idempotency_keys"], ("task_id", "created_at"))

    async def remove_tasks(self) -> bool:
        now = await server_time(self._db)
        fields = {"_id": 1, "tenant": 1, "idempotency_key": 1}
        with store_errors("remove tasks"):
            outlived = await self._tasks.find({"remove_at": {"$lt": now}}, fields).limit(TASK_BATCH).to_list()
            ids = [document["_id"] for document in outlived]
            if ids:
                # Before the tasks go: an API that died after the insert has left its record open, and a repeat of the
                # request would make the task once more.
                await mark_keys_accepted(self._db, outlived)
                await remove_copies(self._db, ids)  # first: a leader that dies here finds the tasks again, and so these
                await self._tasks.delete_many({"_id": {"$in": ids}})
                await remove_copies(self._db, ids)  # again: a projection may have been under way
        return len(ids) == TASK_BATCH

    async def remove_events(self) -> bool:
        old = {"at": {"$lt": await server_time(self._db) - self._event_age}}
        with store_errors("remove lifecycle events"):
            found = await self._db["logs"].find(old, {"_id": 1}).limit(EVENT_BATCH).to_list()
            if found:
                await self._db["logs"].delete_many({"_id": {"$in": [event["_id"] for event in found]}})
        return len(found) == EVENT_BATCH

    async def remove_sessions(self) -> bool:
        unused_since = await server_time(self._db) - self._session_age
        with store_errors("remove sessions"):
            part = await self._sessions.read()
            old = [session for session in part if _is_before(unused_since, session, *_USES)]
            # A task that joins the session after this query needs no document of it: its projection makes one.
            used = await self._values("session_id", [session["_id"] for session in old])
            await self._sessions.remove([session for session in old if session["_id"] not in used])
        return self._sessions.move_behind(part)

    async def remove_keys(self) -> bool:
        made_before = await server_time(self._db) - self._key_age
        with store_errors("remove idempotency keys"):
            part = await self._keys.read()
            old = [key for key in part if _is_before(made_before, key, "created_at")]
            used = await self._values("_id", [key.get("task_id") for key in old])
            await self._keys.remove([key for key in old if key.get("task_id") not in used])
        return self._keys.move_behind(part)

    async def _values(self, field: str, candidates: Sequence[object]) -> set[object]:
        """Finds those of the candidates that are the value of this field in a task."""
        return set(await self._tasks.distinct(field, {field: {"$in": candidates}})) if candidates else set()


def _is_before(moment: datetime, document: Mapping[str, Any], *fields: str) -> bool:
    """Checks whether all times in these fields are earlier. A document without one, from another writer, stays."""
    times = [document[name] for name in fields if isinstance(document.get(name), datetime)]
    return bool(times) and max(times) < moment
