"""The cost of model calls, in tokens and money.

Money is an integer of micro-USD (1 USD = 1,000,000), so that sums stay exact. `None` means that the cost is unknown:
the model has no known price, or the call broke off after it was sent and may have been billed. It never means 0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Usage(BaseModel):
    """Tokens and cost of one call, one step or one task.

    `cost_microusd` is None if the cost of any part is unknown; `partial_cost_microusd` is then the sum of the other
    parts, else 0. `estimated`: the provider gave no count of some of the tokens, and an estimate stands in its place.
    """

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int | None = 0
    partial_cost_microusd: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def known_cost_microusd(self) -> int:
        """Returns the cost as far as it is known."""
        return self.partial_cost_microusd if self.cost_microusd is None else self.cost_microusd

    def __add__(self, other: Self) -> Usage:
        known = self.known_cost_microusd + other.known_cost_microusd
        unknown = self.cost_microusd is None or other.cost_microusd is None
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_microusd=None if unknown else known,
            partial_cost_microusd=known if unknown else 0,
            estimated=self.estimated or other.estimated,
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
