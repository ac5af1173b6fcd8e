"""Names of the attributes on model spans: our own constants, because the GenAI conventions are still in development."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.domain.usage import ModelAttempt
from app.llm.interface import CallScope, ModelRole
from app.telemetry.tracing import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.trace import Span

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USER = "user.id"
WORKFLOW = "workflow.id"
CORRELATION = "correlation_id"
ROLE = "agents.llm.role"
ATTEMPTS = "agents.llm.attempts"
COST = "agents.llm.cost_usd"


def call_attributes(scope: CallScope, role: ModelRole) -> dict[str, AttributeValue | None]:
    """Builds the attributes that are known before the call. None of them holds content."""
    return {
        OPERATION: "chat",
        ROLE: role.value,
        USER: scope.tenant,
        WORKFLOW: scope.task_id,
        CORRELATION: scope.request_id,
    }


def describe_attempts(span: Span, attempts: Sequence[ModelAttempt]) -> None:
    """Adds the model of the last attempt, and the tokens and the cost of all of them."""
    if not attempts or not span.is_recording():
        return
    last = attempts[-1]
    span.set_attribute(PROVIDER, last.provider)
    span.set_attribute(REQUEST_MODEL, last.model)
    if last.served_model is not None:
        span.set_attribute(RESPONSE_MODEL, last.served_model)
    span.set_attribute(INPUT_TOKENS, sum(attempt.usage.input_tokens for attempt in attempts))
    span.set_attribute(OUTPUT_TOKENS, sum(attempt.usage.output_tokens for attempt in attempts))
    span.set_attribute(ATTEMPTS, len(attempts))
    costs = [attempt.usage.cost_microusd for attempt in attempts]
    if None not in costs:  # a sum without the unknown ones would be taken for the cost of the call
        span.set_attribute(COST, sum(cost or 0 for cost in costs) / 1_000_000)
