"""One call of an agent, down a chain of models: tries, waits, next hops, and in the end one answer or one error.

For each hop: may the breaker's name be called → reserve → try → classify → ask again, ask the next one, or give up.
Every try is metered, reported to the breaker and settled exactly once. A try whose cost nobody can know (cut off, timed
out, cancelled) is not settled: its reservation stays open, which a budget counts as spent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Generic, Protocol

from app.domain.usage import ModelAttempt
from app.errors import LLMAuthFailed, LLMError
from app.llm.chains import Hop, Provider
from app.llm.faults import Action, FaultKind, InvalidOutput, ProviderFault, Verdict, most_telling
from app.llm.interface import CallScope, Completion, Parsed
from app.llm.limits import ProviderLimits
from app.llm.metering import Meter, total_usage
from app.llm.plans import Plan
from app.llm.providers.adapter import ProviderAdapter, ProviderAnswer, ProviderRequest
from app.llm.retry import backoff_seconds, delay_before_retry
from app.outbound.breaker import CircuitBreaker
from app.outbound.breaker_state import BreakerState
from app.settings import LLMSettings
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

# uvloop's timers wake up to a millisecond early: a breaker that was just told to pause would still refuse.
_TIMER_MARGIN_SECONDS = 0.005
_log = get_logger(__name__)


class Adapters(Protocol):
    """Where the vendors' adapters come from: `Transports`, or a double in tests."""

    async def adapter(self, provider: Provider) -> ProviderAdapter: ...


@dataclass(frozen=True)
class CallParts:
    """What all calls of a process share."""

    settings: LLMSettings
    transports: Adapters
    breaker: CircuitBreaker
    limits: ProviderLimits
    meter: Meter
    metrics: OutboundMetrics
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]]


class ChainCall(Generic[Parsed]):
    """Use once: `await ChainCall(...).run()`."""

    def __init__(
        self,
        parts: CallParts,
        scope: CallScope,
        *,
        hops: Sequence[Hop],
        plan: Plan[Parsed],
        headers: Mapping[str, str],
    ) -> None:
        self._parts = parts
        self._scope = scope
        self._hops = hops
        self._plan = plan
        self._headers = headers
        self.attempts: list[ModelAttempt] = []

    async def run(self) -> Completion[Parsed]:
        """The answer. Raises the LLMError that tells most, with all attempts, or what the Allowance raises."""
        if not self._hops:
            raise LLMAuthFailed(
                "No model of this chain can be asked: set the key of its provider (OPENAI_API_KEY, ANTHROPIC_API_KEY)."
            )
        faults: list[ProviderFault] = []
        for at, hop in enumerate(self._hops):
            outcome = await self._ask_hop(hop)
            if not isinstance(outcome, ProviderFault):
                return self._to_completion(*outcome)
            faults.append(outcome)
            if outcome.consequence.action is Action.FATAL or self._scope.remaining_seconds() <= 0:
                break
            self._note_fallback(hop, self._hops[at + 1 : at + 2], outcome)
        raise self._to_error(faults)

    async def _ask_hop(self, hop: Hop) -> tuple[ProviderAnswer, Parsed | None] | ProviderFault:
        """The answer, or the last fault of this hop."""
        request: ProviderRequest | None = self._on_hop(self._plan.first, hop)
        fault: ProviderFault | None = None
        failed = invalid = 0
        while request is not None:
            if self._scope.remaining_seconds() <= 0:
                return fault or ProviderFault(FaultKind.DEADLINE)
            if not await self._parts.breaker.allow(hop.name):
                return fault or self._skip(hop)
            try:
                return await self._try(hop, request)
            except InvalidOutput as error:
                fault, invalid = error, invalid + 1
                another = self._plan.next(error, invalid=invalid)
                request = self._on_hop(another, hop) if another is not None else None
            except ProviderFault as error:
                fault, failed = error, failed + 1
                if not await self._may_retry(hop, error, failed=failed):
                    return error
        return fault or ProviderFault(FaultKind.INVALID)

    def _on_hop(self, request: ProviderRequest, hop: Hop) -> ProviderRequest:
        return replace(request, model=hop.model, headers=self._headers)

    def _skip(self, hop: Hop) -> ProviderFault:
        cooling = self._parts.breaker.state(hop.name) is BreakerState.COOLING
        wait = self._parts.breaker.blocked_seconds(hop.name)
        kind = FaultKind.COOLING if cooling else FaultKind.BREAKER_OPEN
        fault = ProviderFault(kind, retry_after=wait or None)
        self._note_skipped(hop, fault)
        return fault

    def _note_skipped(self, hop: Hop, fault: ProviderFault) -> None:
        self._parts.meter.failed(self._parts.meter.begin(hop, self._scope, self.attempts), fault)

    async def _may_retry(self, hop: Hop, fault: ProviderFault, *, failed: int) -> bool:
        """Waits and says yes, where asking the same model again makes sense."""
        settings, parts = self._parts.settings, self._parts
        if fault.consequence.action is not Action.RETRY:
            return False
        backoff = backoff_seconds(failed, base_seconds=settings.http_base_backoff_seconds, rng=parts.rng)
        delay = delay_before_retry(backoff, retry_after=fault.retry_after, remaining=self._scope.remaining_seconds())
        if fault.kind is FaultKind.RATE_LIMITED:
            pause = fault.retry_after if fault.retry_after is not None else backoff
            await parts.breaker.cool_down(hop.name, pause)
        if failed >= settings.http_max_retries or delay is None:
            return False
        if fault.kind is FaultKind.RATE_LIMITED:
            delay = max(delay, parts.breaker.blocked_seconds(hop.name)) + _TIMER_MARGIN_SECONDS
        await parts.sleep(delay)
        return True

    async def _try(self, hop: Hop, request: ProviderRequest) -> tuple[ProviderAnswer, Parsed | None]:
        """One try, under the provider's limits; one that finds the provider full makes no call.

        What ends without a verdict (cancelled, no budget, full) is told to the breaker as abandoned, or its probe would
        stay taken.
        """
        meter, allowance, breaker = self._parts.meter, self._scope.allowance, self._parts.breaker
        async with AsyncExitStack() as without_verdict, AsyncExitStack() as held:
            without_verdict.push_async_callback(breaker.abandoned, hop.name)
            await self._enter_limits(held, hop)
            bound = meter.upper_bound(hop, request)
            await allowance.reserve(bound)
            attempt = meter.begin(hop, self._scope, self.attempts)
            without_verdict.callback(meter.cancelled, attempt)
            try:
                answer, parsed = await self._answer(hop, request)
            except ProviderFault as fault:
                without_verdict.pop_all()
                done = meter.failed(attempt, fault)
                if not fault.maybe_billed:
                    allowance.settle(bound, done.usage)
                await self._report(hop, fault.consequence.verdict)
                raise
            without_verdict.pop_all()
            allowance.settle(bound, meter.succeeded(attempt, answer).usage)
            await breaker.succeeded(hop.name)
            return answer, parsed

    async def _enter_limits(self, held: AsyncExitStack, hop: Hop) -> None:
        remaining_seconds = self._scope.remaining_seconds()
        try:
            await held.enter_async_context(self._parts.limits.permit(hop.provider, remaining_seconds=remaining_seconds))
        except ProviderFault as full:
            self._note_skipped(hop, full)
            raise

    async def _answer(self, hop: Hop, request: ProviderRequest) -> tuple[ProviderAnswer, Parsed | None]:
        adapter = await self._parts.transports.adapter(hop.provider)
        try:
            async with asyncio.timeout(max(0.0, self._scope.remaining_seconds())):
                answer = await adapter.answer(request)
        except TimeoutError:
            raise ProviderFault(FaultKind.DEADLINE, maybe_billed=True) from None
        return answer, self._plan.accept(answer)

    async def _report(self, hop: Hop, verdict: Verdict) -> None:
        """Tells the breaker. A 429 is told where its pause is known (`_may_retry`)."""
        match verdict:
            case Verdict.ILL:
                await self._parts.breaker.failed(hop.name)
            case Verdict.ALIVE:
                await self._parts.breaker.succeeded(hop.name)
            case Verdict.NONE:
                await self._parts.breaker.abandoned(hop.name)
            case Verdict.BUSY:
                pass

    def _note_fallback(self, hop: Hop, following: Sequence[Hop], fault: ProviderFault) -> None:
        for other in following:
            self._parts.metrics.llm_fallback.labels(
                from_model=hop.model, to_model=other.model, reason=fault.kind.value
            ).inc()
            _log.info("llm_fallback", from_model=hop.name, to_model=other.name, reason=fault.kind.value)

    def _to_completion(self, answer: ProviderAnswer, parsed: Parsed | None) -> Completion[Parsed]:
        return Completion(
            text=answer.text,
            served_model=answer.served_model,
            usage=total_usage(self.attempts),
            attempts=tuple(self.attempts),
            parsed=parsed,
            tool_calls=answer.tool_calls,
        )

    def _to_error(self, faults: Sequence[ProviderFault]) -> LLMError:
        last = faults[-1]
        fatal = last.consequence.action is Action.FATAL
        error = last.consequence.error if fatal else most_telling(faults)
        waits = [fault.retry_after for fault in faults if fault.retry_after is not None]
        told = "; ".join(f"{hop.name}: {fault}" for hop, fault in zip(self._hops, faults, strict=False))
        return error(
            f"No model gave a usable answer ({told}).",
            attempts=self.attempts,
            retry_after_seconds=min(waits) if waits and error.retryable else None,
        )
