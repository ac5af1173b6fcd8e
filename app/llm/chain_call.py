"""One call of an agent, down a chain of models: attempts, waits, next hops, and in the end one answer or one error.

For each hop: breaker allows it → reserve → attempt → classify → same model again, next model, or give up. Every attempt
is metered, reported to the breaker and settled exactly once. An attempt of unknown cost (cut off, timed out, cancelled)
is not settled: its reservation stays open, and a budget counts it as spent. If the budget has less left than the answer
may take, the answer is limited to the rest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeGuard

from app.domain.agent import CutOff
from app.domain.usage import ModelAttempt, Usage
from app.errors import BudgetExceeded, LLMAuthFailed, LLMError
from app.llm.chains import Hop
from app.llm.dialect_book import DialectBook
from app.llm.faults import Action, FaultKind, InvalidOutput, ProviderFault, Verdict, choose_error, uses_up_attempt
from app.llm.hop_request import HopRequests
from app.llm.interface import CallScope, Completion, Parsed
from app.llm.joining import join
from app.llm.limits import ProviderLimits
from app.llm.metering import Meter, total_usage
from app.llm.plans import Plan
from app.llm.provider_table import PROVIDERS
from app.llm.providers.adapter import Finish, ProviderAdapter, ProviderAnswer, ProviderRequest
from app.llm.retry import backoff_seconds, delay_before_retry
from app.llm.server_dialect import FULL, Dialect, output_limit, refused_feature
from app.outbound.breaker import PATIENCE_SECONDS, CircuitBreaker
from app.settings import LLMSettings
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

# The kinds of refusals after which the same model may accept the same request in another form.
_ABOUT_THE_REQUEST = frozenset(
    {FaultKind.BAD_REQUEST, FaultKind.CONTEXT_OVERFLOW, FaultKind.MODEL_NOT_FOUND, FaultKind.WRONG_ENDPOINT}
)
_log = get_logger(__name__)


class AdapterSource(Protocol):
    """The seam to the adapters: `ProviderAdapters`, or a double in tests."""

    async def adapter(self, provider: str) -> ProviderAdapter:
        """Returns the adapter, which may have to be built first."""


@dataclass(frozen=True)
class CallParts:
    """The parts that all calls of a process share."""

    settings: LLMSettings
    adapters: AdapterSource
    breaker: CircuitBreaker
    dialects: DialectBook
    requests: HopRequests
    limits: ProviderLimits
    meter: Meter
    metrics: OutboundMetrics
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]]


class ChainCall(Generic[Parsed]):
    """One call, to be used once: `await ChainCall(...).run()`. `attempts` grows while it runs."""

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
        """Returns the answer. Raises the LLMError of `choose_error` with all attempts, or an error of the Allowance."""
        if not self._hops:
            keys = ", ".join(spec.key_variable for spec in PROVIDERS.values())
            raise LLMAuthFailed(f"No model of this chain can be asked: set the key of its provider ({keys}).")
        faults: list[ProviderFault] = []
        for at, hop in enumerate(self._hops):
            outcome = await self._call_hop(hop, self._plan.first)
            if not isinstance(outcome, ProviderFault):
                answer, parsed = outcome
                return self._to_completion(*await self._finish(hop, answer), parsed)
            faults.append(outcome)
            if outcome.action is Action.FATAL or self._scope.remaining_seconds() <= 0:
                break
            self._record_fallback(hop, self._hops[at + 1 : at + 2], outcome)
        raise self._to_error(faults)

    async def _call_hop(self, hop: Hop, first: ProviderRequest) -> tuple[ProviderAnswer, Parsed | None] | ProviderFault:
        """Calls one model until it answers. Returns the answer, or the last fault of this hop."""
        wanted: ProviderRequest | None = first
        dialect = await self._parts.dialects.of(hop.name)
        fault: ProviderFault | None = None
        failed = invalid = 0
        while wanted is not None:
            if self._scope.remaining_seconds() <= 0:
                return fault or ProviderFault(FaultKind.DEADLINE)
            if not await self._may_start(hop, again=fault is not None):
                return fault if _may_pass(fault) else self._skip(hop)
            request = self._fit(wanted, hop, dialect)
            try:
                return await self._attempt(hop, request)
            except InvalidOutput as error:
                fault, invalid = error, invalid + 1
                wanted = self._plan.next(error, invalid=invalid, mode=request.schema_mode)
            except ProviderFault as error:
                if error.kind is FaultKind.LIMITED and _may_pass(fault):
                    return fault
                fault = error
                taught = await self._learn(hop, request, error)
                if taught is not None:
                    dialect = taught
                    continue
                failed += 1
                if not await self._may_retry(hop, error, failed=failed):
                    return error
        return fault or ProviderFault(FaultKind.INVALID)

    def _fit(self, wanted: ProviderRequest, hop: Hop, dialect: Dialect) -> ProviderRequest:
        runs = self._scope.earlier_runs
        return self._parts.requests.fit(wanted, hop, dialect=dialect, headers=self._headers, earlier_runs=runs)

    async def _learn(self, hop: Hop, request: ProviderRequest, fault: ProviderFault) -> Dialect | None:
        """Finds the dialect in which the server may accept the request after all; None if that is not what is wrong.

        Each time the dialect loses a feature or the limit becomes smaller, so this comes to an end.
        """
        if fault.refusal is None or fault.kind not in _ABOUT_THE_REQUEST:
            return None
        dialects = self._parts.dialects
        limit = output_limit(fault.refusal, asked=request.max_tokens)
        if limit is not None:
            if limit.lasting:  # otherwise it depends on the length of this prompt
                await dialects.learn(hop.name, Dialect(max_output_tokens=limit.tokens))
            return replace(request.dialect, max_output_tokens=limit.tokens)
        # A prompt that is too long is often told together with the parts that make it long.
        if fault.kind is FaultKind.CONTEXT_OVERFLOW:
            return None
        adapter = await self._parts.adapters.adapter(hop.provider)
        sent = request.features().intersection(adapter.features(hop.model))
        feature = refused_feature(fault.refusal, sent, model=hop.model)
        if feature is None:
            return None
        await dialects.learn(hop.name, FULL.without(feature))
        return request.dialect.without(feature)

    async def _finish(self, hop: Hop, answer: ProviderAnswer) -> tuple[ProviderAnswer, CutOff | None]:
        """Lets the same model go on with an answer that was cut off.

        What cannot be continued stays as it is, and the reason comes with it.
        """
        for _ in range(self._parts.settings.max_continuations):
            following = self._plan.go_on(answer) if answer.finish is Finish.LENGTH else None
            if following is None:
                break
            try:
                outcome = await self._call_hop(hop, following)
            except BudgetExceeded:
                return answer, CutOff.BUDGET  # what was paid for is worth more to its user than an error
            if isinstance(outcome, ProviderFault):
                _log.info("continuation_failed", model=hop.name, **_logged(outcome))
                return answer, CutOff.BUDGET if outcome.cut_to_budget else CutOff.FAULT
            rest, _parsed = outcome
            answer = replace(rest, text=join(answer.text, rest.text))
        if answer.finish is not Finish.LENGTH:
            return answer, None
        return answer, CutOff.BUDGET if answer.cut_to_budget else CutOff.LIMIT

    async def _may_start(self, hop: Hop, *, again: bool) -> bool:
        """Asks the breaker. A call that has made a try waits for the rest of a pause; a new one has the next model."""
        patience_seconds = min(PATIENCE_SECONDS, self._scope.remaining_seconds())
        return await self._parts.breaker.allow_soon(
            hop.name,
            by=self._scope.task_id,
            patience_seconds=patience_seconds,
            through_pause=again,
            sleep=self._parts.sleep,
        )

    def _skip(self, hop: Hop) -> ProviderFault:
        tripped = self._parts.breaker.state(hop.name).tripped
        kind = FaultKind.BREAKER_OPEN if tripped else FaultKind.COOLING
        fault = ProviderFault(kind, retry_after=self._parts.breaker.refused_seconds(hop.name))
        self._record_skip(hop, fault)
        return fault

    def _record_skip(self, hop: Hop, fault: ProviderFault) -> None:
        self._parts.meter.skipped(hop, self._scope, self.attempts, fault)

    async def _may_retry(self, hop: Hop, fault: ProviderFault, *, failed: int) -> bool:
        """Waits before the next attempt of the same model. Returns False, without a wait, if there should be none."""
        settings, parts = self._parts.settings, self._parts
        again = fault.action is Action.RETRY
        if not again and fault.kind is not FaultKind.RATE_LIMITED:
            return False
        backoff = backoff_seconds(failed, base_seconds=settings.http_base_backoff_seconds, rng=parts.rng)
        delay = delay_before_retry(backoff, retry_after=fault.retry_after, remaining=self._scope.remaining_seconds())
        if fault.kind is FaultKind.RATE_LIMITED:
            # Also after the last attempt: the calls of other tasks and workers must pause too.
            pause = fault.retry_after if fault.retry_after is not None else backoff
            await parts.breaker.cool_down(hop.name, pause)
        if not again or failed >= settings.http_max_retries or delay is None:
            return False
        await parts.sleep(delay)
        return True

    async def _attempt(self, hop: Hop, request: ProviderRequest) -> tuple[ProviderAnswer, Parsed | None]:
        """Makes one attempt under the provider's limits. If the provider is full, there is no call."""
        meter, allowance, breaker = self._parts.meter, self._scope.allowance, self._parts.breaker
        async with AsyncExitStack() as without_verdict, AsyncExitStack() as held:
            # If the call ends without a verdict (cancelled, no budget, full), the probe must not stay taken.
            without_verdict.push_async_callback(breaker.abandoned, hop.name, by=self._scope.task_id)
            await self._enter_limits(held, hop)
            bound = await allowance.reserve(
                meter.upper_bound(hop, request), model=hop.name, cut=partial(meter.shortened_bound, hop, request)
            )
            request = within(bound, request)
            attempt = meter.begin(hop, self._scope, self.attempts, request)
            without_verdict.callback(meter.cancelled, attempt)
            try:
                answer, parsed = await self._answer(hop, request)
            except ProviderFault as reported:
                without_verdict.pop_all()  # the fault is the verdict: neither cancelled nor abandoned
                fault = with_limit(reported, request)
                fault.cap_retry_after(self._parts.settings.retry_after_cap_seconds)
                done = meter.failed(attempt, fault)
                # If the cost is unknown, the reservation stays open: a budget must not allow more than its limit.
                if not fault.maybe_billed:
                    allowance.settle(bound, done.usage)
                await self._report(hop, fault.consequence.verdict)
                raise fault from None
            without_verdict.pop_all()
            allowance.settle(bound, meter.succeeded(attempt, answer).usage)
            await breaker.succeeded(hop.name, by=self._scope.task_id)
            return replace(answer, cut_to_budget=request.cut_to_budget), parsed

    async def _enter_limits(self, held: AsyncExitStack, hop: Hop) -> None:
        remaining_seconds = self._scope.remaining_seconds()
        try:
            await held.enter_async_context(self._parts.limits.permit(hop.provider, remaining_seconds=remaining_seconds))
        except ProviderFault as full:
            self._record_skip(hop, full)
            raise

    async def _answer(self, hop: Hop, request: ProviderRequest) -> tuple[ProviderAnswer, Parsed | None]:
        adapter = await self._parts.adapters.adapter(hop.provider)
        try:
            # The client's timeouts limit silences only. A server that keeps sending is stopped by the task's deadline.
            async with asyncio.timeout(max(0.0, self._scope.remaining_seconds())):
                answer = await adapter.answer(request)
        except TimeoutError:
            # We ended the call ourselves, so the breaker does not count a fault. The provider may still charge for it.
            raise ProviderFault(FaultKind.DEADLINE, maybe_billed=True) from None
        return answer, self._plan.accept(answer)

    async def _report(self, hop: Hop, verdict: Verdict) -> None:
        """Reports to the breaker, except for a 429: `_may_retry` knows the pause and reports it."""
        breaker, task_id = self._parts.breaker, self._scope.task_id
        match verdict:
            case Verdict.ILL:
                await breaker.failed(hop.name, by=task_id)
            case Verdict.ALIVE:
                await breaker.succeeded(hop.name, by=task_id)
            case Verdict.NONE:
                await breaker.abandoned(hop.name, by=task_id)
            case Verdict.BUSY:
                pass

    def _record_fallback(self, hop: Hop, following: Sequence[Hop], fault: ProviderFault) -> None:
        for other in following:
            self._parts.metrics.llm_fallback.labels(
                from_model=hop.model, to_model=other.model, reason=fault.kind.value
            ).inc()
            _log.info("llm_fallback", from_model=hop.name, to_model=other.name, **_logged(fault))

    def _to_completion(
        self, answer: ProviderAnswer, cut_off: CutOff | None, parsed: Parsed | None
    ) -> Completion[Parsed]:
        return Completion(
            text=answer.text,
            served_model=answer.served_model,
            usage=total_usage(self.attempts),
            attempts=tuple(self.attempts),
            parsed=parsed,
            tool_calls=answer.tool_calls,
            cut_off=cut_off,
        )

    def _to_error(self, faults: Sequence[ProviderFault]) -> LLMError:
        last = faults[-1]
        fatal = last.action is Action.FATAL
        error = last.consequence.error if fatal else choose_error(faults)
        # The models before it have logged their own reasons: why the next one was asked.
        _log.warning("llm_call_failed", error_code=error.code, model=self._hops[len(faults) - 1].name, **_logged(last))
        waits = [fault.retry_after for fault in faults if fault.retry_after is not None]
        # Not strict: the call may end before its last hop.
        per_hop = "; ".join(f"{hop.name}: {fault}" for hop, fault in zip(self._hops, faults, strict=False))
        return error(
            f"No model gave a usable answer ({per_hop}).",
            attempts=self.attempts,
            retry_after_seconds=min(waits) if waits and error.retryable else None,
            counted=uses_up_attempt(faults),
        )


def within(bound: Usage, request: ProviderRequest) -> ProviderRequest:
    """Limits the answer to what was reserved for it."""
    if bound.output_tokens == request.max_tokens:
        return request
    return replace(request, max_tokens=bound.output_tokens, cut_to_budget=True)


def with_limit(fault: ProviderFault, request: ProviderRequest) -> ProviderFault:
    """Names the budget in the fault of an answer that was cut off because the budget left no more."""
    if fault.kind is not FaultKind.TRUNCATED or not request.cut_to_budget:
        return fault
    return ProviderFault(
        fault.kind,
        f"{fault.detail} at the {request.max_tokens} tokens that the budget left",
        tokens=fault.tokens,
        served_model=fault.served_model,
        text=fault.text,
        cut_to_budget=True,
    )


def _logged(fault: ProviderFault) -> Mapping[str, str]:
    """Builds the fields of a log line that give the reason of a fault."""
    return {"reason": fault.kind.value, "detail": fault.outline}


def _may_pass(fault: ProviderFault | None) -> TypeGuard[ProviderFault]:
    """Checks whether a call failed that may succeed later: that says more than a refusal of the next try."""
    return fault is not None and fault.consequence.error.retryable
