"""Projections of a task's journal: one run per finished step, one log entry per lifecycle event.

Ids are `{task_id}:{step key}` and `{task_id}:{event rev}:{event name}`, so that projecting twice changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from app.domain.identity import RequestId, SessionId, TaskId, Tenant
from app.domain.usage import NO_USAGE, ModelAttempt, Usage


class EventName(StrEnum):
    """The events in the life of a task, in their usual order."""

    QUEUED = "task_queued"
    CLAIMED = "task_claimed"
    ROUTED = "task_routed"
    REQUEUED = "task_requeued"
    CANCEL_REQUESTED = "task_cancel_requested"
    COMPLETED = "task_completed"
    FAILED = "task_failed"
    CANCELLED = "task_cancelled"


class TaskEvent(BaseModel):
    """One lifecycle event, as the task's document holds it. `detail` has names and numbers only, no text."""

    model_config = ConfigDict(frozen=True, extra="allow")

    rev: int
    name: str
    at: AwareDatetime
    detail: dict[str, JsonValue] = {}


class AgentRun(BaseModel):
    """One finished node of the router's or an agent's graph, with every model attempt that it made."""

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: Tenant
    task_id: TaskId
    session_id: SessionId
    request_id: RequestId
    step: str
    node: str
    agent_name: str
    output: dict[str, JsonValue]
    attempts: tuple[ModelAttempt, ...] = ()
    usage: Usage = NO_USAGE
    started_at: AwareDatetime
    finished_at: AwareDatetime
    duration_ms: float
