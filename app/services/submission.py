"""What a caller submits, who the caller is, and the collaborators that accepting a task needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from app.domain.identity import RequestId, SessionId, Tenant
from app.domain.task import Budget, Source, Task


class Submission(BaseModel):
    """A validated request for a task; what the caller left out is None."""

    model_config = ConfigDict(frozen=True)

    task: str
    session_id: SessionId | None = None
    agent: str | None = None
    priority: int = 0
    run_at: AwareDatetime | None = None
    deadline_seconds: int | None = None
    ttl_seconds: int | None = None
    max_attempts: int | None = None
    budget: Budget | None = None
    metadata: dict[str, str] = {}

    def body_hash(self) -> str:
        """SHA-256 of what was asked for: the same for two bodies that mean the same."""
        fields = self.model_copy(update={"metadata": dict(sorted(self.metadata.items()))})
        return hashlib.sha256(fields.model_dump_json(exclude_none=True).encode()).hexdigest()


@dataclass(frozen=True)
class Origin:
    """Where a submission came from: whose it is, and what is kept of the request."""

    tenant: Tenant
    request_id: RequestId
    source: Source = field(default_factory=Source)
    traceparent: str | None = None
    idempotency_key: str | None = None


class Dispatch(Protocol):
    """Gets accepted tasks to the workers."""

    async def should_dispatch_inline(self, *, delayed: bool, limited: bool) -> bool:
        """Asked before the insert: whether a ticket will be sent at once; never where time or limit is to be heeded."""

    def after_insert(self, task: Task, dispatched: bool) -> None:
        """Has the ticket sent or the dispatcher woken, without waiting for it; works while Redis is down."""
