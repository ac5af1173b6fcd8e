"""Answers about tasks: what a task, a run, a session and an agent look like to callers.

Views read our own objects by attribute. Who holds a task, under which claim, and what only the machinery needs is left
out. Costs are USD, rounded to the millionth; null where some call has no known price.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from app.domain.agent import AgentCard, Citation
from app.domain.message import MessageRole
from app.domain.task import Step, TaskStatus
from app.domain.usage import AttemptStatus
from app.services.sessions import SessionContext

MICRO = 1_000_000
_INTERNAL_DETAILS = frozenset({"owner", "claim_id"})


def _usd(microusd: int | None) -> float | None:
    return None if microusd is None else round(microusd / MICRO, 6)


def _in_order(steps: dict[str, Step]) -> list[Step]:
    return sorted(steps.values(), key=lambda step: step.sequence)


def _public_detail(detail: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in detail.items() if name not in _INTERNAL_DETAILS}


Usd = Annotated[float | None, BeforeValidator(_usd)]


class View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True, protected_namespaces=())


class Answer(View):
    """Base of whole answers."""

    api_version: Literal["v1"] = "v1"


class UsageView(View):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost_usd: Usd = Field(validation_alias="cost_microusd")


class AttemptView(View):
    """One try of one model."""

    provider: str
    model: str
    status: AttemptStatus
    served_model: str | None
    error_type: str | None
    usage: UsageView
    duration_ms: float
    started_at: AwareDatetime


class StepView(View):
    """One finished node; its output stands in the task's runs."""

    key: str
    node: str
    agent_name: str
    usage: UsageView
    attempts: list[AttemptView]
    started_at: AwareDatetime
    finished_at: AwareDatetime


class AlternativeView(View):
    agent_name: str
    confidence: float


class RoutingView(View):
    """`confidence` is 0 to 1; null where the caller pinned the agent."""

    agent_name: str
    confidence: float | None
    reasoning: str
    alternatives: list[AlternativeView]


class ResultView(View):
    summary: str
    raw_output: str
    code_language: str | None
    citations: list[Citation]


class ErrorView(View):
    """`type` is a stable code."""

    type: str
    message: str


class BudgetView(View):
    max_tokens: int | None
    max_cost_usd: Usd = Field(validation_alias="max_cost_microusd")


class SourceView(View):
    kind: str
    ip: str | None
    user_agent: str | None
    environment: str | None
    cluster: str | None
    namespace: str | None


class EventView(View):
    name: str
    at: AwareDatetime
    detail: Annotated[dict[str, JsonValue], BeforeValidator(_public_detail)]


class MessageView(View):
    role: MessageRole
    content: str
    created_at: AwareDatetime
    agent_name: str | None


class AcceptedView(Answer):
    """A task was taken; `status` is further on where an Idempotency-Key found an earlier one."""

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

    task_id: str = Field(validation_alias="id")
    session_id: str
    status: TaskStatus
    queued_at: AwareDatetime
    message: str = "Task accepted and queued."


class TaskView(Answer):
    """The whole task. `crashes`, `retries`, `postponed` and `handbacks` say why runs ended early."""

    task_id: str = Field(validation_alias="id")
    session_id: str
    request_id: str
    status: TaskStatus
    task: str
    agent: str | None
    priority: int
    metadata: dict[str, str]
    source: SourceView
    budget: BudgetView | None
    run_at: AwareDatetime | None
    deadline_seconds: int
    ttl_seconds: int | None
    max_attempts: int
    attempts: int
    crashes: int
    retries: int
    postponed: int
    handbacks: int
    processing_ms: int
    created_at: AwareDatetime
    queued_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    updated_at: AwareDatetime
    cancel_requested_at: AwareDatetime | None
    selected_agent: str | None
    agent_type: str | None
    routing: RoutingView | None
    peer_routing_reason: str | None
    steps: Annotated[list[StepView], BeforeValidator(_in_order)]
    messages: list[MessageView]
    events: list[EventView]
    result: ResultView | None
    error: ErrorView | None
    usage: UsageView


class SummaryView(View):
    """A task in a list: the first 200 characters of its text, no result."""

    task_id: str = Field(validation_alias="id")
    session_id: str
    status: TaskStatus
    task_preview: str
    selected_agent: str | None
    agent_type: str | None
    priority: int
    created_at: AwareDatetime
    queued_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    error: ErrorView | None
    usage: UsageView


class TaskListView(Answer):
    """Newest first; `next_cursor` is null on the last page."""

    items: list[SummaryView]
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
    started_at: AwareDatetime
    finished_at: AwareDatetime
    duration_ms: float


class RunListView(Answer):
    task_id: str
    items: list[RunView]


class MessageListView(Answer):
    task_id: str
    items: list[MessageView]


class SessionView(Answer):
    """A conversation: its tasks and its last hundred turns, oldest first."""

    session_id: str = Field(validation_alias="id")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    task_ids: list[str]
    messages: list[MessageView]


class AgentListView(Answer):
    items: list[AgentCard]


def session_view(context: SessionContext) -> SessionView:
    fields: dict[str, Any] = {**dict(context.session), "messages": context.messages}
    return SessionView.model_validate(fields)
