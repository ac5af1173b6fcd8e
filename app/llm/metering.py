"""The cost of each attempt, and an upper bound for the cost of the next one.

A text whose tokens are single bytes can exceed the bound; the settled cost is the one that the provider counted. If it
gave no count, an estimate from the texts is settled and marked. An attempt that broke off after it was sent may have
been billed: its cost is None, its tokens are at least those of the request. A model without a price costs None: the
Allowance decides then, and refuses a task with a cost budget.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from app.domain.task import Budget
from app.domain.usage import NO_USAGE, AttemptStatus, ModelAttempt, Usage
from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import CallScope, ToolCall
from app.llm.pricing import KnownRate, PriceTable, TokenCounts
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest
from app.llm.token_estimate import estimate_tokens
from app.ports import Clock
from app.telemetry.metrics import OutboundMetrics

# The shortest answer that is worth paying for if a budget has less left than an answer may take: two paragraphs, a
# small function, a router's choice.
USEFUL_OUTPUT_TOKENS = 256
# Before these a model that thinks has to think, which counts as output. Anthropic accepts no smaller budget of thinking
# than this; with less, the answer would be paid for and hold no word.
USEFUL_THINKING_TOKENS = 1_024
# English takes four to five bytes a token in the count of every provider; three leave a margin for other texts.
_BYTES_PER_TOKEN = 3
# For the frame of each message and of the request, which is part of no text: at most, and about.
_TOKENS_PER_MESSAGE, _USUAL_TOKENS_PER_MESSAGE = 8, 4
_TOKENS_PER_REQUEST = 64
_LONGEST_MODEL_NAME = 200


def input_tokens_bound(request: ProviderRequest) -> int:
    """Estimates from its size the most tokens that the request can take."""
    size = sum(len(text.encode(errors="replace")) for text in _texts(request))
    fixed = _TOKENS_PER_REQUEST + _TOKENS_PER_MESSAGE * len(request.messages)
    return math.ceil(size / _BYTES_PER_TOKEN) + fixed


def useful_output_tokens(request: ProviderRequest) -> int:
    """Returns the least output tokens, thinking included, with which the request may get a useful answer."""
    thinks = request.thinks and request.effort != "none"
    return USEFUL_OUTPUT_TOKENS + (USEFUL_THINKING_TOKENS if thinks else 0)


def estimate_input_tokens(request: ProviderRequest) -> int:
    """Estimates the tokens that the request usually takes."""
    return sum(map(estimate_tokens, _texts(request))) + _USUAL_TOKENS_PER_MESSAGE * len(request.messages)


def _texts(request: ProviderRequest) -> Iterator[str]:
    for message in request.messages:
        yield message.content
        yield from map(_call_text, message.tool_calls)
    for tool in request.tools:
        yield tool.name + tool.description + _json(tool.parameters)
    if request.output is not None:
        yield _json(request.output.schema)


def _call_text(call: ToolCall) -> str:
    return call.name + _json(call.arguments)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(dict(value), ensure_ascii=False)


@dataclass(frozen=True)
class OpenAttempt:
    """One attempt in progress; `began` is monotonic. `attempts` is the list of the call, which the ended one joins."""

    hop: Hop
    scope: CallScope
    attempts: list[ModelAttempt]
    request: ProviderRequest
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
        return self._bound(hop, TokenCounts(input_tokens_bound(request), request.max_tokens))

    def shortened_bound(self, hop: Hop, request: ProviderRequest, left: Budget) -> Usage:
        """Computes the most that the request can use with the longest answer that `left` covers.

        Its output tokens are the limit of that answer. If `left` does not even cover a useful answer, the bound is that
        of the shortest useful one.
        """
        tokens = input_tokens_bound(request)
        lengths = range(min(useful_output_tokens(request), request.max_tokens), request.max_tokens + 1)

        def bound(length: int) -> Usage:
            return self._bound(hop, TokenCounts(tokens, length))

        covered = bisect_left(lengths, True, key=lambda length: not left.covers(bound(length)))
        return bound(lengths[max(0, covered - 1)])

    def begin(self, hop: Hop, scope: CallScope, attempts: list[ModelAttempt], request: ProviderRequest) -> OpenAttempt:
        """Starts the clock of one attempt."""
        return OpenAttempt(hop, scope, attempts, request, self._clock.now(), self._clock.monotonic())

    def succeeded(self, attempt: OpenAttempt, answer: ProviderAnswer) -> ModelAttempt:
        """Records a usable answer."""
        usage, version = self._answered(attempt, answer.tokens, partial(_estimate_answer, answer))
        return self._end(attempt, AttemptStatus.OK, usage, version=version, served_model=answer.served_model)

    def failed(self, attempt: OpenAttempt, fault: ProviderFault) -> ModelAttempt:
        """Records a fault, with the tokens of an answer that came, or of a request that may have been answered."""
        usage, version = NO_USAGE, None
        if fault.tokens is not None or fault.text is not None:
            usage, version = self._answered(attempt, fault.tokens, partial(_estimate_unusable, fault, attempt.request))
        elif fault.maybe_billed:
            usage = _of_unknown_cost(attempt.request)
        return self._end(
            attempt, fault.consequence.status, usage, version=version, served_model=fault.served_model, fault=fault
        )

    def cancelled(self, attempt: OpenAttempt) -> ModelAttempt:
        """Records an attempt that was cut off from outside; its cost is unknown."""
        return self._end(attempt, AttemptStatus.CANCELLED, _of_unknown_cost(attempt.request))

    def skipped(self, hop: Hop, scope: CallScope, attempts: list[ModelAttempt], fault: ProviderFault) -> ModelAttempt:
        """Records that no call was made, which cost nothing, and why."""
        done = ModelAttempt(
            provider=hop.provider,
            model=hop.model,
            status=fault.consequence.status,
            error_type=fault.consequence.error.code,
            detail=str(fault),
            started_at=self._clock.now(),
        )
        return self._record(done, scope, attempts)

    def rate(self, hop: Hop) -> KnownRate | None:
        """Finds the price of a million tokens now; None if it is unknown."""
        return self._prices.rate(hop.provider, hop.model, at=self._clock.now())

    def _bound(self, hop: Hop, tokens: TokenCounts) -> Usage:
        cost = self._prices.highest_cost(hop.provider, hop.model, tokens, at=self._clock.now())
        return Usage(input_tokens=tokens.input, output_tokens=tokens.output, cost_microusd=cost)

    def _answered(
        self, attempt: OpenAttempt, counted: TokenCounts | None, estimate_output: Callable[[], int]
    ) -> tuple[Usage, str | None]:
        """Prices an answer by the provider's count, and by an estimate if that is missing or 0."""
        hop, request, counts = attempt.hop, attempt.request, counted or TokenCounts()
        tokens = replace(
            counts,
            input=counts.input or estimate_input_tokens(request),
            # An estimate never exceeds what was reserved.
            output=counts.output or min(estimate_output(), request.max_tokens),
        )
        price = self._prices.price(hop.provider, hop.model, tokens, at=attempt.started_at)
        usage = Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cost_microusd=price.microusd,
            estimated=tokens != counts,
        )
        return usage, price.version

    def _end(
        self,
        attempt: OpenAttempt,
        status: AttemptStatus,
        usage: Usage,
        *,
        version: str | None = None,
        served_model: str | None = None,
        fault: ProviderFault | None = None,
    ) -> ModelAttempt:
        done = ModelAttempt(
            provider=attempt.hop.provider,
            model=attempt.hop.model,
            status=status,
            served_model=_storable_name(served_model),
            error_type=fault.consequence.error.code if fault is not None else None,
            detail=str(fault) if fault is not None else None,
            usage=usage,
            price_version=version,
            duration_ms=round((self._clock.monotonic() - attempt.began) * 1000, 3),
            started_at=attempt.started_at,
        )
        return self._record(done, attempt.scope, attempt.attempts)

    def _record(self, done: ModelAttempt, scope: CallScope, attempts: list[ModelAttempt]) -> ModelAttempt:
        attempts.append(done)
        self._metrics.observe_attempt(done)
        scope.on_attempt(done)
        return done


def _estimate_answer(answer: ProviderAnswer) -> int:
    return estimate_tokens(answer.text) + sum(estimate_tokens(_call_text(call)) for call in answer.tool_calls)


def _estimate_unusable(fault: ProviderFault, request: ProviderRequest) -> int:
    text = fault.text or ""
    if fault.kind is FaultKind.TRUNCATED and not text.strip():
        return request.max_tokens  # the model has thought until it reached the limit
    return estimate_tokens(text)


def _of_unknown_cost(request: ProviderRequest) -> Usage:
    return Usage(input_tokens=estimate_input_tokens(request), cost_microusd=None, estimated=True)


def _storable_name(served_model: object) -> str | None:
    """Returns the name that the provider sent if it is one: the attempt was paid for and must be recorded."""
    if not isinstance(served_model, str):
        return None
    return served_model[:_LONGEST_MODEL_NAME].replace("\0", "").encode(errors="replace").decode()


def total_usage(attempts: Sequence[ModelAttempt]) -> Usage:
    """Sums the usage of all attempts, failed ones too."""
    return sum((attempt.usage for attempt in attempts), NO_USAGE)
