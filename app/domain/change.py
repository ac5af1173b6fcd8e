"""A task in the changes feed: its status and its cost, without any text that can be long."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

from app.domain.identity import TaskId, Tenant
from app.domain.task import Routing, Source, TaskError, TaskStatus
from app.domain.usage import NO_USAGE, Usage


class ResultDigest(BaseModel):
    """The size of a result in bytes of UTF-8, and its SHA-256 in hex. Results can be compared without being read.

    Both are None if an older version wrote the result.
    """

    model_config = ConfigDict(frozen=True)

    summary: str
    size_bytes: int | None = None
    sha256: str | None = None


class TaskChange(BaseModel):
    """The task after its revision `rev`. Of two changes of one task, the one with the greater `rev` is newer."""

    model_config = ConfigDict(frozen=True)

    id: TaskId
    tenant: Tenant
    rev: int
    changed_at: AwareDatetime
    status: TaskStatus
    idempotency_key: str | None = None
    source: Source = Source()
    selected_agent: str | None = None
    routing: Routing | None = None
    attempts: int = 0
    queued_at: AwareDatetime
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    cancel_requested_at: AwareDatetime | None = None
    usage: Usage = NO_USAGE
    result: ResultDigest | None = None
    error: TaskError | None = None
    traceparent: str | None = None
    erased_at: AwareDatetime | None = None
