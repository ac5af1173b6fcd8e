"""Parts of answers: usage, model attempts, steps, routing, results, errors, events and messages.

Views read the objects of `app.domain` by attribute. The owner of a claim and other internal facts are left out. Costs
are in USD, rounded to the millionth, and null if the cost of some call is unknown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)

from app.domain.agent import Citation
from app.domain.message import MessageRole
from app.domain.task import Step
from app.domain.usage import AttemptStatus

MICRO = 1_000_000
_INTERNAL_DETAILS = frozenset({"owner", "claim_id"})


def _usd(microusd: int | None) -> float | None:
    return None if microusd is None else round(microusd / MICRO, 6)


def _in_order(steps: dict[str, Step]) -> list[Step]:
    return sorted(steps.values(), key=lambda step: step.sequence)


def _public_detail(detail: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in detail.items() if name not in _INTERNAL_DETAILS}


def _time(moment: datetime) -> str:
    """Writes a time with all its digits, so that times can be compared and sorted as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    PlainSerializer(_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Uuid = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Usd = Annotated[float | None, BeforeValidator(_usd)]


class View(BaseModel):
    """Base of parts and answers."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Answer(View):
    """Base of whole answers."""

    api_version: Literal["v1"] = "v1"


class UsageView(View):
    """Tokens and cost of the model calls.

    `cost_usd` is null if a model has no known price, or if a call broke off and may have been billed; `known_cost_usd`
    is the cost of the other calls. `estimated`: some of the tokens were not counted by the provider.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost_usd: Usd = Field(validation_alias="cost_microusd")
    known_cost_usd: Usd = Field(validation_alias="known_cost_microusd")
    estimated: bool


class AttemptView(View):
    """One model attempt. `detail` is what failed, with the provider's reason; null if nothing did."""

    provider: str
    model: str
    status: AttemptStatus
    served_model: str | None
    error_type: str | None
    detail: str | None
    usage: UsageView
    duration_ms: float
    started_at: Time


class StepView(View):
    """One finished node; its output is in the task's runs."""

    key: str
    node: str
    agent_name: str
    usage: UsageView
    attempts: list[AttemptView]
    started_at: Time
    finished_at: Time


Steps = Annotated[list[StepView], BeforeValidator(_in_order)]


class AlternativeView(View):
    """An agent that the router also considered."""

    agent_name: str
    confidence: float


class RoutingView(View):
    """The router's decision. `confidence` is 0 to 1, null if the caller pinned the agent."""

    agent_name: str
    confidence: float | None
    reasoning: str
    alternatives: list[AlternativeView]


class ResultView(View):
    """The answer of the agent. `truncated`: there is more that was not written; `summary` closes with the reason.

    The reason is AGENT_MAX_TOKENS, the budget, or a model that could not continue its answer.
    """

    summary: str
    raw_output: str
    code_language: str | None
    citations: list[Citation]
    truncated: bool


class ErrorView(View):
    """The error of a failed task. `type` is a stable code."""

    type: str
    message: str


class BudgetView(View):
    """The limits that the caller set for the task."""

    max_tokens: int | None
    max_cost_usd: Usd = Field(validation_alias="max_cost_microusd")


class SourceView(View):
    """The origin of the task: a caller's address, or an AgentTask in Kubernetes."""

    kind: str
    ip: str | None
    user_agent: str | None
    environment: str | None
    cluster: str | None
    namespace: str | None
    name: str | None
    uid: str | None
    namespace_uid: str | None
    shift: str | None


class EventView(View):
    """A lifecycle event of the task."""

    name: str
    at: Time
    detail: Annotated[dict[str, JsonValue], BeforeValidator(_public_detail)]


class MessageView(View):
    """One turn of the conversation."""

    role: MessageRole
    content: str
    created_at: Time
    agent_name: str | None
