"""The states of tasks as the API sends them: the fields that the operator reads.

Unknown fields are ignored: a newer API may send more of them.
"""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

from app.domain.task import TaskStatus


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class TaskSource(_Part):
    cluster: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    namespace_uid: str | None = None
    shift: str | None = None


class TaskRouting(_Part):
    agent_name: str
    confidence: float | None = None
    reasoning: str = ""


class TaskUsage(_Part):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None


class TaskDigest(_Part):
    summary: str
    size_bytes: int | None = None
    sha256: str | None = None


class TaskProblem(_Part):
    type: str
    message: str


class TaskState(_Part):
    """The state of a task at its revision `rev`."""

    task_id: str
    tenant: str
    rev: int
    status: TaskStatus
    idempotency_key: str | None = None
    source: TaskSource = TaskSource()
    selected_agent: str | None = None
    routing: TaskRouting | None = None
    attempts: int = 0
    queued_at: AwareDatetime
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    usage: TaskUsage = TaskUsage()
    result: TaskDigest | None = None
    error: TaskProblem | None = None
    trace_id: str | None = None
    erased: bool = False


class ChangesAnswer(_Part):
    items: tuple[TaskState, ...]
    cursor: str
    more: bool


class LookupAnswer(_Part):
    items: tuple[TaskState, ...]
    next_cursor: str | None = None
