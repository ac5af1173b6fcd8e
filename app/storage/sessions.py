"""The sessions of tenants. A session's document holds its owner; its content is in the tasks.

A session that the API created itself gets its document by projection a moment later. Until then reading and opening
take the owner from the tasks. An erased session leaves a tombstone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.message import Message, Session
from app.errors import SessionErased, SessionNotFound
from app.storage.documents import read_messages, read_until_full
from app.storage.mongo import Database, store_errors
from app.storage.writes import literal

# Bounds the answer: a session may have any number of tasks.
_TASKS_SHOWN = 1000
# The newest turns are read until they have so many characters: a hundred of the longest have hundreds of megabytes.
SHOWN_CHARACTERS = 8 * 1024 * 1024


class MongoSessionRepository:
    """Implements `app.ports.SessionRepository` on the collections `sessions` and `tasks`."""

    def __init__(self, db: Database) -> None:
        self._sessions = db["sessions"]
        self._tasks = db["tasks"]

    async def open(self, tenant: Tenant, session_id: SessionId) -> None:
        document = await self._find(tenant, session_id)
        if document is not None:
            return
        with store_errors(f"open session {session_id}"):
            earlier = await self._tasks.find_one({"session_id": session_id}, {"tenant": 1})
            if earlier is not None and earlier["tenant"] != tenant:
                raise _unknown(session_id)
            times = {"created_at": "$$NOW", "updated_at": "$$NOW"}
            created = {"$mergeObjects": ["$$ROOT", literal({"tenant": tenant}), times]}
            # A duplicate: another request, maybe of another tenant, has opened the session since it was read.
            with contextlib.suppress(DuplicateKeyError):
                await self._sessions.update_one(
                    {"_id": session_id, "tenant": {"$exists": False}}, [{"$replaceWith": created}], upsert=True
                )
                return
        await self._find(tenant, session_id)

    async def get(self, tenant: Tenant, session_id: SessionId) -> Session:
        document = await self._find(tenant, session_id)
        with store_errors(f"read session {session_id}"):
            found = self._tasks.find({"tenant": tenant, "session_id": session_id}, {"created_at": 1, "updated_at": 1})
            tasks = await found.sort("created_at", DESCENDING).limit(_TASKS_SHOWN).to_list()
        if document is None and not tasks:
            raise _unknown(session_id)
        known = [document] if document is not None else []
        return Session(
            id=session_id,
            tenant=tenant,
            created_at=min(entry["created_at"] for entry in [*known, *tasks]),
            updated_at=max(entry["updated_at"] for entry in [*known, *tasks]),
            task_ids=tuple(TaskId(task["_id"]) for task in reversed(tasks)),
        )

    async def messages(self, tenant: Tenant, session_id: SessionId, *, limit: int) -> Sequence[Message]:
        mine = {"tenant": tenant, "session_id": session_id, "erased_at": None}
        with store_errors(f"read the messages of session {session_id}"):
            found = self._tasks.find(mine, {"messages": 1, "result.raw_output": 1, "created_at": 1})
            newest = found.sort("created_at", DESCENDING).limit(limit)
            tasks = await read_until_full(newest, characters=SHOWN_CHARACTERS)
        # A task has one turn at least, so the last `limit` tasks hold the last `limit` turns.
        turns = [turn for task in reversed(tasks) for turn in read_messages(task)]
        return turns[-limit:]

    async def erase(self, tenant: Tenant, session_id: SessionId) -> None:
        tombstone = literal({"tenant": tenant})
        erased = {"$mergeObjects": [{"created_at": "$$NOW"}, "$$ROOT", tombstone, {"erased_at": "$$NOW"}]}
        # A duplicate: the session has its tombstone already, or belongs to another tenant.
        with store_errors(f"erase session {session_id}"), contextlib.suppress(DuplicateKeyError):
            await self._sessions.update_one(
                {"_id": session_id, "tenant": tenant, "erased_at": None}, [{"$replaceWith": erased}], upsert=True
            )

    async def _find(self, tenant: Tenant, session_id: SessionId) -> dict[str, Any] | None:
        with store_errors(f"find session {session_id}"):
            document: dict[str, Any] | None = await self._sessions.find_one({"_id": session_id})
        if document is None:
            return None
        if document["tenant"] != tenant:
            raise _unknown(session_id)
        if document.get("erased_at") is not None:
            raise SessionErased(f"Session {session_id} was erased on request; start another one.")
        return document


def _unknown(session_id: SessionId) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session_id}; leave the field out to start one.")
