"""Parts of answers: how usage, attempts, steps, results and messages look to callers.

Views read our own objects by attribute. Who holds a task, under which claim, and what only the machinery needs is left
out. Costs are USD, rounded to the millionth; null where some call has no known price.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

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


Steps = Annotated[list[StepView], BeforeValidator(_in_order)]


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
    name: str | None
    uid: str | None


class EventView(View):
    name: str
    at: AwareDatetime
    detail: Annotated[dict[str, JsonValue], BeforeValidator(_public_detail)]


class MessageView(View):
    role: MessageRole
    content: str
    created_at: AwareDatetime
    agent_name: str | None
