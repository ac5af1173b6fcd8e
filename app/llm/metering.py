"""The cost of each attempt, and an upper bound for the cost of the next one.

A text whose tokens are single bytes can exceed the bound; the settled cost is always the one that the provider counted.
A model without a price costs None: the Allowance decides then, and refuses a task with a cost budget.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.usage import NO_USAGE, AttemptStatus, ModelAttempt, Usage
from app.llm.chains import Hop
from app.llm.faults import ProviderFault
from app.llm.interface import CallScope
from app.llm.pricing import PriceTable, TokenCounts
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest
from app.ports import Clock
from app.telemetry.metrics import OutboundMetrics

# English takes four to five bytes a token in the count of every provider; three leave a margin for other texts.
_BYTES_PER_TOKEN = 3
# For the frame of each message and of the request, which is part of no text.
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_REQUEST = 64


def input_tokens_bound(request: ProviderRequest) -> int:
    """Estimates from its size the most tokens that the request can take."""
    size = 0
    for message in request.messages:
        size += len(message.content.encode())
        size += sum(len(call.name) + len(json.dumps(dict(call.arguments))) for call in message.tool_calls)
    size += sum(len(tool.description.encode()) + len(json.dumps(dict(tool.parameters))) for tool in request.tools)
    if request.output is not None:
        size += len(json.dumps(request.output.schema))
    fixed = _TOKENS_PER_REQUEST + _TOKENS_PER_MESSAGE * len(request.messages)
    return math.ceil(size / _BYTES_PER_TOKEN) + fixed


@dataclass(frozen=True)
class OpenAttempt:
    """One attempt in progress; `began` is monotonic. `attempts` is the list of the call, which the ended one joins."""

    hop: Hop
    scope: CallScope
    attempts: list[ModelAttempt]
    started_at: datetime
    began: float


class Meter:
    """The meter of all attempts. After `begin`, exactly one of `succeeded`, `failed` and `cancelled` ends each."""

    def __init__(self, *, prices: PriceTable, metrics: OutboundMetrics, clock: Clock) -> None:
        self._prices = prices
        self._metrics = metrics
        self._clock = clock

    def upper_bound(self, hop: Hop, request: ProviderRequest) -> Usage:
        """Computes the most that the request can use."""
        tokens = TokenCounts(input=input_tokens_bound(request), output=request.max_tokens)
        return self._to_usage(hop, tokens, at=self._clock.now())[0]

    def begin(self, hop: Hop, scope: CallScope, attempts: list[ModelAttempt]) -> OpenAttempt:
        """Starts the clock of one attempt."""
        return OpenAttempt(hop, scope, attempts, started_at=self._clock.now(), began=self._clock.monotonic())

    def succeeded(self, attempt: OpenAttempt, answer: ProviderAnswer) -> ModelAttempt:
        """Records a usable answer."""
        return self._end(attempt, AttemptStatus.OK, tokens=answer.tokens, served_model=answer.served_model)

    def failed(self, attempt: OpenAttempt, fault: ProviderFault) -> ModelAttempt:
        """Records a fault, with the tokens that the provider counted."""
        return self._end(
            attempt, fault.consequence.status, tokens=fault.tokens, served_model=fault.served_model, fault=fault
        )

    def cancelled(self, attempt: OpenAttempt) -> ModelAttempt:
        """Records an attempt that was cut off from outside; its cost is unknown."""
        return self._end(attempt, AttemptStatus.CANCELLED)

    def _to_usage(self, hop: Hop, tokens: TokenCounts, *, at: datetime) -> tuple[Usage, str | None]:
        price = self._prices.price(hop.provider.value, hop.model, tokens, at=at)
        usage = Usage(input_tokens=tokens.input, output_tokens=tokens.output, cost_microusd=price.microusd)
        return usage, price.version

    def _end(
        self,
        attempt: OpenAttempt,
        status: AttemptStatus,
        *,
        tokens: TokenCounts | None = None,
        served_model: str | None = None,
        fault: ProviderFault | None = None,
    ) -> ModelAttempt:
        usage, version = NO_USAGE, None
        if tokens is not None:
            usage, version = self._to_usage(attempt.hop, tokens, at=attempt.started_at)
        done = ModelAttempt(
            provider=attempt.hop.provider.value,
            model=attempt.hop.model,
            status=status,
            served_model=served_model,
            error_type=fault.consequence.error.code if fault is not None else None,
            detail=str(fault) if fault is not None else None,
            usage=usage,
            price_version=version,
            duration_ms=round((self._clock.monotonic() - attempt.began) * 1000, 3),
            started_at=attempt.started_at,
        )
        attempt.attempts.append(done)
        self._metrics.observe_attempt(done)
        attempt.scope.on_attempt(done)
        return done


def total_usage(attempts: Sequence[ModelAttempt]) -> Usage:
    """Sums the usage of all attempts, failed ones too."""
    return sum((attempt.usage for attempt in attempts), NO_USAGE)
