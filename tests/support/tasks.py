"""Tasks for tests: built as the API builds them, moved into a status by the real repositories."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.identity import DEFAULT_TENANT, ClaimId, RequestId, SessionId, TaskId, Tenant
from app.domain.run import EventName
from app.domain.task import NewTask, Step, Task
from app.ports import Claim
from app.settings import RetentionSettings
from app.storage.claims import MongoClaimRepository
from app.storage.mongo import Database
from app.storage.retention import MongoRetentionRepository
from app.storage.tasks import MongoTaskRepository
from app.storage.upkeep import MongoUpkeepRepository
from app.system_clock import SystemClock

TENANT = Tenant("acme")
DISPATCH_SECONDS = 10


def new_task(text: str = "Write about tides", **fields: Any) -> NewTask:
    defaults: dict[str, Any] = {
        "id": TaskId(str(uuid.uuid4())),
        "tenant": TENANT,
        "task": text,
        "session_id": SessionId(str(uuid.uuid4())),
        "request_id": RequestId(uuid.uuid4().hex),
    }
    return NewTask(**{**defaults, **fields})


def waiting_document(text: str, **fields: Any) -> dict[str, Any]:
    """Builds a queued task as the API stores it, for tests that insert many or malformed ones themselves."""
    now = datetime.now(UTC)
    task = new_task(text, **{"tenant": DEFAULT_TENANT, **fields})
    return {
        **task.model_dump(exclude={"id", "run_at"}, exclude_none=True),
        **dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at", "due_at"), now),
        "_id": task.id,
        "expires_at": now + timedelta(days=1),
        "status": "queued",
        "lane": "ready",
        "rev": 1,
        "steps": {},
        "history": [],
        "dispatch_seq": 0,
        "messages": [{"role": "user", "content": text, "created_at": now}],
        "events": [{"rev": 1, "name": EventName.QUEUED.value, "at": now, "detail": {}}],
        "unprojected": True,
    }


def task_repository(db: Database, *, expiry_seconds: int = 86_400) -> MongoTaskRepository:
    return MongoTaskRepository(db, expiry_seconds=expiry_seconds, clock=SystemClock())


def claim_repository(db: Database, *, lease_seconds: float = 30) -> MongoClaimRepository:
    return MongoClaimRepository(db, owner="worker-a", lease_seconds=lease_seconds)


def upkeep_repository(db: Database, *, max_crashes: int = 10) -> MongoUpkeepRepository:
    return MongoUpkeepRepository(db, max_crashes=max_crashes)


def retention_repository(db: Database, **ages: Any) -> MongoRetentionRepository:
    """Builds the repository with the default ages, except those that the test gives."""
    return MongoRetentionRepository(db, RetentionSettings(**ages))


async def claimed_task(db: Database, *, lease_seconds: float = 30, **fields: Any) -> tuple[Task, Claim]:
    """Inserts a task that is dispatched already, and claims it."""
    accepted = (await task_repository(db).insert(new_task(**fields), dispatched=True, new_session=False)).task
    return await claim(db, accepted.id, lease_seconds=lease_seconds)


async def claim(db: Database, task_id: TaskId, *, lease_seconds: float = 30) -> tuple[Task, Claim]:
    claim_id = ClaimId(uuid.uuid4().hex)
    claims = claim_repository(db, lease_seconds=lease_seconds)
    task = await claims.claim(task_id, claim_id=claim_id)
    assert task is not None
    return task, Claim(task_id=task.id, claim_id=claim_id, epoch=task.epoch)


async def claim_once_dispatched(db: Database, task_id: TaskId) -> tuple[Task, Claim]:
    """Claims a submitted task as soon as it is dispatched. The leader dispatches it if the API could not at once."""
    async with asyncio.timeout(DISPATCH_SECONDS):
        while await db["tasks"].count_documents({"_id": task_id, "dispatched_at": {"$ne": None}}) == 0:
            continue
    return await claim(db, task_id)


def step(key: str = "generate#1", **fields: Any) -> Step:
    now = datetime.now(UTC).replace(microsecond=0)
    defaults: dict[str, Any] = {
        "key": key,
        "node": key.partition("#")[0],
        "agent_name": "CodeAgent",
        "sequence": 1,
        "input_hash": "0" * 64,
        "output": {"content": "$rev stays text"},
        "started_at": now,
        "finished_at": now,
    }
    return Step(**{**defaults, **fields})
