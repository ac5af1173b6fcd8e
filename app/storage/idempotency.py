"""The idempotency keys of tenants: each with the task that it made, and the hash of its body.

A record has `accepted: false` until its task is stored; a repeat of the request completes it under the same task id.
A record stays as long as its task is stored, and at least for the age that the settings name, so that until then a key
never makes a second task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.identity import TaskId, Tenant
from app.errors import StoreError
from app.ports import IdempotencyRecord
from app.storage.mongo import Database, store_errors
from app.storage.writes import literal


class MongoIdempotencyRepository:
    """Implements `app.ports.IdempotencyRepository` on `idempotency_keys`; the ids are `{tenant}:{key}`."""

    def __init__(self, db: Database) -> None:
        self._records = db["idempotency_keys"]

    async def reserve(self, tenant: Tenant, key: str, *, body_hash: str, task_id: TaskId) -> IdempotencyRecord:
        own = {"task_id": task_id, "body_hash": body_hash, "accepted": False}
        record = {"$mergeObjects": ["$$ROOT", literal(own), {"created_at": "$$NOW"}]}
        unseen = {"_id": _record_id(tenant, key), "task_id": {"$exists": False}}
        with store_errors(f"reserve an idempotency key for task {task_id}"):
            # The unique id decides between parallel requests with the same key: one upsert inserts, the others fail as
            # duplicates and read the record of the first.
            try:
                await self._records.update_one(unseen, [{"$replaceWith": record}], upsert=True)
            except DuplicateKeyError as error:
                first = await self._read_first(tenant, key)
                if first is None:
                    raise StoreError(
                        f"The idempotency record of task {task_id} vanished while it was read; send the request again."
                    ) from error
                return first
        return IdempotencyRecord(task_id=task_id, body_hash=body_hash, accepted=False)

    async def _read_first(self, tenant: Tenant, key: str) -> IdempotencyRecord | None:
        """Reads the record that was there first. If it is still open, its age counts from now on.

        The caller is about to store its task, so the leader must not take the record for an old one without a task.
        """
        first = await self.find(tenant, key)
        if first is None or first.accepted:
            return first
        still_open = {"_id": _record_id(tenant, key), "accepted": False}
        renewed = await self._records.update_one(still_open, [{"$set": {"created_at": "$$NOW"}}])
        return first if renewed.matched_count else await self.find(tenant, key)

    async def find(self, tenant: Tenant, key: str) -> IdempotencyRecord | None:
        with store_errors("read an idempotency key"):
            document = await self._records.find_one({"_id": _record_id(tenant, key)})
        if document is None:
            return None
        return IdempotencyRecord(
            task_id=TaskId(document["task_id"]), body_hash=document["body_hash"], accepted=document["accepted"]
        )

    async def mark_accepted(self, tenant: Tenant, key: str) -> None:
        with store_errors("mark an idempotency key as accepted"):
            await self._records.update_one({"_id": _record_id(tenant, key)}, {"$set": {"accepted": True}})


async def mark_keys_accepted(db: Database, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Marks the keys of these task documents as accepted."""
    ids = [_record_id(task["tenant"], task["idempotency_key"]) for task in tasks if task.get("idempotency_key")]
    if ids:
        await db["idempotency_keys"].update_many({"_id": {"$in": ids}}, {"$set": {"accepted": True}})


def _record_id(tenant: Tenant, key: str) -> str:
    return f"{tenant}:{key}"
