"""The cost of model calls, in tokens and money.

Money is an integer of micro-USD (1 USD = 1,000,000), so that sums stay exact. `None` means that no price is known; it
never means 0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Usage(BaseModel):
    """Tokens and cost of one call, one step or one task; `cost_microusd` is None if any part has no price."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int | None = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Self) -> Usage:
        costs = (self.cost_microusd, other.cost_microusd)
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_microusd=None if None in costs else (costs[0] or 0) + (costs[1] or 0),
        )


NO_USAGE = Usage()


class AttemptStatus(StrEnum):
    """The end of one try of one model; also the `status` label of `agents_llm_calls_total`."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    INVALID_OUTPUT = "invalid_output"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class ModelAttempt(BaseModel):
    """One try of one model: the provider and model, the outcome, the cost.

    `skipped` attempts (breaker open) made no call. `error_type` is a code of `app.errors`; `duration_ms` is wall time.
    `price_version` names the price table that `usage.cost_microusd` comes from.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    provider: str
    model: str
    status: AttemptStatus
    served_model: str | None = None
    error_type: str | None = None
    detail: str | None = None
    usage: Usage = NO_USAGE
    price_version: str | None = None
    duration_ms: float = 0.0
    started_at: AwareDatetime
