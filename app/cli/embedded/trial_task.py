"""The life of one task on a database, in the product's own writes: accepted, released, claimed, completed and copied.

A server may speak the protocol and still refuse an expression of these writes. Then no task would ever end on it.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from pydantic import SecretStr

from app.domain.fairness import Lane
from app.domain.identity import DEFAULT_TENANT, ClaimId, RequestId, SessionId, TaskId
from app.domain.task import NewTask, Step, TaskResult
from app.errors import AgentOrchestratorError
from app.ports import Claim, RunUpdate
from app.settings import StoreSettings
from app.storage.claims import MongoClaimRepository
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import Database, connect, database, ensure_indexes
from app.storage.projections import MongoProjectionRepository
from app.storage.tasks import MongoTaskRepository
from app.system_clock import SystemClock

LEASE_SECONDS = 30.0


async def find_fault_with_task(url: str) -> str | None:
    """Returns why the empty database server at the URL cannot keep a task; None if it can."""
    settings = StoreSettings(uri=SecretStr(url))
    client = connect(settings)
    db = database(client, settings)
    try:
        await ensure_indexes(db)
        ended_well = await _complete_a_task(db)
    except AgentOrchestratorError as error:
        return error.message
    finally:
        client.close()
    return None if ended_well else "a write of a task changed nothing there"


async def _complete_a_task(db: Database) -> bool:
    """Returns whether every write took effect."""
    tasks = MongoTaskRepository(db, expiry_seconds=round(LEASE_SECONDS), clock=SystemClock())
    stored = (await tasks.insert(_new_task(), dispatched=False, new_session=True)).task
    dispatch = MongoDispatchRepository(db)
    waiting = await dispatch.find_waiting(Lane.READY, [stored.tenant], 1)
    await dispatch.release(waiting[stored.tenant])
    claims = MongoClaimRepository(db, owner="trial", lease_seconds=LEASE_SECONDS)
    claim_id = ClaimId(uuid.uuid4().hex)
    claimed = await claims.claim(stored.id, claim_id=claim_id)
    if claimed is None:
        return False
    claim = Claim(task_id=stored.id, claim_id=claim_id, epoch=claimed.epoch)
    renewed = await claims.heartbeat([claim])
    recorded = await claims.record(claim, RunUpdate(steps=[_step()]))
    completed = await claims.complete(claim, RunUpdate(), TaskResult(summary="trial", raw_output="trial"))
    projections = MongoProjectionRepository(db, patience_seconds=0)
    await projections.project([stored.id])
    copied = not await projections.find_stale(1)
    ended = await tasks.has_ended(stored.tenant, stored.id)
    return not renewed.lost and recorded and completed and copied and ended


def _new_task() -> NewTask:
    return NewTask(
        id=TaskId(str(uuid.uuid4())),
        tenant=DEFAULT_TENANT,
        task="trial",
        session_id=SessionId(str(uuid.uuid4())),
        request_id=RequestId(uuid.uuid4().hex),
        ttl_seconds=3600,
    )


def _step() -> Step:
    now = datetime.now(UTC)
    return Step(
        key="generate#1",
        node="generate",
        agent_name="CodeAgent",
        sequence=1,
        input_hash="",
        output={"content": "trial"},
        started_at=now,
        finished_at=now,
    )
