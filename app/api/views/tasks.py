"""Answers about tasks, changes, runs, messages, sessions and agents."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from app.api.views.parts import (
    Answer,
    AttemptView,
    BudgetView,
    ErrorView,
    EventView,
    MessageView,
    ResultView,
    RoutingView,
    SourceView,
    Steps,
    Time,
    UsageView,
    Uuid,
    View,
)
from app.domain.task import Task, TaskStatus
from app.services.sessions import SessionContext
from app.telemetry.tracing import trace_id_of


class AcceptedView(Answer):
    """An accepted task. `status` may be past `queued` if the Idempotency-Key belongs to an earlier task."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "api_version": "v1",
                    "task_id": "0b6a3f52-4f0d-4a52-8a13-0e5a2b0a9f10",
                    "session_id": "7f1c1c0e-3d5b-4f8e-9a39-0f1f5d7a2b11",
                    "status": "queued",
                    "queued_at": "2026-11-21T09:30:00.123000Z",
                    "message": "Task accepted and queued.",
                }
            ]
        }
    )

    task_id: Uuid = Field(validation_alias="id")
    session_id: Uuid
    status: TaskStatus
    queued_at: Time
    message: str = "Task accepted and queued."


class TaskView(Answer):
    """The whole task.

    `crashes`, `shared_crashes`, `retries`, `postponed` and `handbacks` count the reasons why runs ended early. A crash
    is shared if other suspects ran in the same process; it does not count against `max_attempts`.
    """

    task_id: Uuid = Field(validation_alias="id")
    session_id: Uuid
    request_id: str
    status: TaskStatus
    task: str
    agent: str | None
    priority: int
    metadata: dict[str, str]
    source: SourceView
    budget: BudgetView | None
    run_at: Time | None
    deadline_seconds: int
    ttl_seconds: int | None
    max_attempts: int
    attempts: int
    crashes: int
    shared_crashes: int
    retries: int
    postponed: int
    handbacks: int
    processing_ms: int
    created_at: Time
    queued_at: Time
    started_at: Time | None
    completed_at: Time | None
    updated_at: Time
    cancel_requested_at: Time | None
    selected_agent: str | None
    agent_type: str | None
    routing: RoutingView | None
    peer_routing_reason: str | None
    steps: Steps
    messages: list[MessageView]
    events: list[EventView]
    result: ResultView | None
    error: ErrorView | None
    usage: UsageView


class SummaryView(View):
    """A task in a list: the first 200 characters of its text, no result."""

    task_id: Uuid = Field(validation_alias="id")
    session_id: Uuid
    status: TaskStatus
    task_preview: str
    selected_agent: str | None
    agent_type: str | None
    priority: int
    created_at: Time
    queued_at: Time
    started_at: Time | None
    completed_at: Time | None
    error: ErrorView | None
    usage: UsageView


class TaskListView(Answer):
    """A page of tasks, newest first; `next_cursor` is null on the last page."""

    items: list[SummaryView]
    next_cursor: str | None


class DigestView(View):
    """A short form of the result. `summary` has at most 280 characters, `sha256` is hex.

    Size and hash are null if an older version wrote the result.
    """

    summary: str
    size_bytes: int | None
    sha256: str | None


class ChangeView(View):
    """A task after its revision `rev`, without texts that can be long. An `erased` task is a tombstone."""

    task_id: Uuid = Field(validation_alias="id")
    tenant: str
    rev: int
    changed_at: Time
    status: TaskStatus
    idempotency_key: str | None
    source: SourceView
    selected_agent: str | None
    routing: RoutingView | None
    attempts: int
    queued_at: Time
    started_at: Time | None
    completed_at: Time | None
    cancel_requested_at: Time | None
    usage: UsageView
    result: DigestView | None
    error: ErrorView | None
    trace_id: Annotated[str | None, BeforeValidator(trace_id_of)] = Field(validation_alias="traceparent")
    erased: Annotated[bool, BeforeValidator(lambda erased_at: erased_at is not None)] = Field(
        validation_alias="erased_at"
    )


class ChangesView(Answer):
    """Changes, oldest first. Ask again with `cursor`, at once if `more` is true."""

    items: list[ChangeView]
    cursor: str
    more: bool


class LookupView(Answer):
    """The tasks that were found; `next_cursor` is null if there is no further page."""

    items: list[ChangeView]
    next_cursor: str | None


class RunView(View):
    """One finished node of the router's or an agent's graph."""

    run_id: str = Field(validation_alias="id")
    step: str
    node: str
    agent_name: str
    output: dict[str, JsonValue]
    attempts: list[AttemptView]
    usage: UsageView
    started_at: Time
    finished_at: Time
    duration_ms: float


class RunListView(Answer):
    """The finished nodes of a task, oldest first."""

    task_id: Uuid
    items: list[RunView]


class MessageListView(Answer):
    """The messages of a task, oldest first."""

    task_id: Uuid
    items: list[MessageView]


class SessionView(Answer):
    """A conversation: its tasks and its last hundred turns, oldest first; fewer from eight million characters on."""

    session_id: Uuid = Field(validation_alias="id")
    created_at: Time
    updated_at: Time
    task_ids: list[Uuid]
    messages: list[MessageView]


class AgentView(View):
    """An agent as workers have published it. `published_at` is the last time at which one did."""

    name: str
    agent_type: str
    description: str
    version: str
    tools: list[str]
    routable: bool
    published_at: Time | None


class AgentListView(Answer):
    """The agents that workers have published."""

    items: list[AgentView]


def accepted_view(task: Task, *, replayed: bool) -> AcceptedView:
    """Builds the answer to a submission. `replayed`: the task is that of an earlier request."""
    view = AcceptedView.model_validate(task)
    if not replayed:
        return view
    return view.model_copy(update={"message": f"This task was submitted before. It is {task.status}."})


def session_view(context: SessionContext) -> SessionView:
    """Builds the answer from a session and its messages."""
    fields: dict[str, Any] = {**dict(context.session), "messages": context.messages}
    return SessionView.model_validate(fields)
