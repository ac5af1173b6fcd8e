"""Doubles for the gateway: a scripted adapter in place of a provider, an allowance that remembers, a scope."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.task import Budget
from app.domain.usage import ModelAttempt, Usage
from app.errors import BudgetExceeded
from app.llm.chain_call import CallParts
from app.llm.dialect_book import DialectBook
from app.llm.faults import FaultKind, ProviderFault
from app.llm.gateway import LLMGateway
from app.llm.hop_request import HopRequests
from app.llm.interface import CallScope
from app.llm.limits import ProviderLimits
from app.llm.metering import Meter
from app.llm.pricing import PriceTable, TokenCounts
from app.llm.provider_table import Provider, asked_elsewhere
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest
from app.llm.server_dialect import Feature
from app.outbound.breaker import CircuitBreaker
from app.settings import AgentSettings, LLMSettings
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from tests.support.doubles import ManualClock

TOKENS = TokenCounts(input=10, output=5)


def answer(text: str = "Hello.") -> ProviderAnswer:
    return ProviderAnswer(text=text, tokens=TOKENS, served_model="served")


@dataclass
class ScriptedAdapter:
    """An adapter that returns or raises the next of `script`, the last one for ever. A callable gets the request."""

    script: list[ProviderAnswer | BaseException | Callable[[ProviderRequest], None]]
    requests: list[ProviderRequest] = field(default_factory=list)
    sends: frozenset[Feature] = frozenset(Feature)

    def features(self, model: str) -> Collection[Feature]:
        return self.sends

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        self.requests.append(request)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, ProviderAnswer):
            return step
        step(request)
        return answer()

    async def aclose(self) -> None:
        """Does nothing: there is nothing to close."""


@dataclass
class PausedMeanwhile(ScriptedAdapter):
    """An adapter whose model gets a pause of 30 s, as if from another worker's 429, while it answers."""

    breaker: CircuitBreaker | None = None

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        assert self.breaker is not None
        await self.breaker.cool_down(f"openai:{request.model}", 30)
        return await super().answer(request)


class VirtualTime:
    """A clock that goes on by itself as soon as all running tasks sleep."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.clock.monotonic() + seconds, next(self._order), awake))
        await awake

    async def run(self, coroutines: Sequence[Coroutine[None, None, None]]) -> None:
        """Runs all of them to their ends; they may wait for nothing but `sleep`."""
        running = [asyncio.create_task(coroutine) for coroutine in coroutines]
        while unfinished := sum(not task.done() for task in running):
            if len(self._sleepers) == unfinished:
                wake_at, _, awake = heapq.heappop(self._sleepers)
                self.clock.advance(max(0.0, wake_at - self.clock.monotonic()))
                awake.set_result(None)
            await asyncio.sleep(0)
        await asyncio.gather(*running)


@dataclass
class RateLimitedAdapter(ScriptedAdapter):
    """A model that answers after `latency` seconds and accepts `per_minute` calls a minute, a second's worth at once.

    It refuses the others after a round trip, and the first `refusals` calls in any case.
    """

    time: VirtualTime = field(default_factory=VirtualTime)
    per_minute: int = 60
    latency: float = 0.0
    refusals: int = 0
    starts: list[float] = field(default_factory=list)
    _free_at: float = 0.0

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        self.starts.append(self.time.clock.monotonic())
        refused = len(self.starts) <= self.refusals
        await self.time.sleep(0.05)
        now = self.time.clock.monotonic()
        if refused or self._free_at > now + 1:
            raise ProviderFault(FaultKind.RATE_LIMITED, retry_after=1.0)
        self._free_at = max(self._free_at, now) + 60 / self.per_minute
        await self.time.sleep(self.latency)
        return answer()


class MemoryRedis:
    """The two commands that the dialect book uses, over a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}

    async def mget(self, names: list[str]) -> list[str | None]:
        return [self.stored.get(name) for name in names]

    async def set(self, name: str, value: str, *, ex: int) -> None:
        assert ex > 0
        self.stored[name] = value


@dataclass
class MemoryAdapters:
    """Adapters that exist already, in place of `ProviderAdapters`."""

    adapters: Mapping[Provider, ScriptedAdapter]
    closed: bool = False
    listed: dict[Provider, Mapping[str, datetime | None] | ProviderFault] = field(default_factory=dict)

    def usable(self) -> frozenset[Provider]:
        return frozenset(self.adapters)

    async def adapter(self, provider: str) -> ScriptedAdapter:
        return self.adapters[Provider(provider)]

    async def models(self, provider: Provider) -> Mapping[str, datetime | None]:
        listed = self.listed[provider]
        if isinstance(listed, ProviderFault):
            raise listed
        return listed

    async def aclose(self) -> None:
        self.closed = True


class FullLimits(ProviderLimits):
    """Limits under which every provider named here is full, after the first `after` calls."""

    def __init__(self, *full: Provider, after: int = 0) -> None:
        super().__init__(LLMSettings(), redis=None, clock=ManualClock())
        self._full = full
        self._left = after

    @asynccontextmanager
    async def permit(self, provider: str, *, remaining_seconds: float) -> AsyncIterator[None]:
        self._left -= 1
        if provider in self._full and self._left < 0:
            raise ProviderFault(FaultKind.LIMITED, provider, retry_after=2.0)
        yield


@dataclass
class RecordingAllowance:
    """An allowance that permits everything until `refusal` is set; calls are cut to what is `left`.

    `affordable`: so many calls are permitted, and the budget is used up then.
    """

    left: Budget | None = None
    reserved: list[Usage] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    settled: list[tuple[Usage, Usage]] = field(default_factory=list)
    refusal: Exception | None = None
    affordable: int | None = None

    async def reserve(
        self, upper_bound: Usage, *, model: str = "", cut: Callable[[Budget], Usage] | None = None
    ) -> Usage:
        if self.refusal is not None:
            raise self.refusal
        if self.affordable is not None and len(self.reserved) >= self.affordable:
            raise BudgetExceeded("spent")
        self.models.append(model)
        if self.left is not None and cut is not None and not self.left.covers(upper_bound):
            upper_bound = cut(self.left)
        self.reserved.append(upper_bound)
        return upper_bound

    def settle(self, upper_bound: Usage, actual: Usage) -> None:
        self.settled.append((upper_bound, actual))

    @property
    def open(self) -> int:
        return len(self.reserved) - len(self.settled)


@dataclass
class Bench:
    """The parts of a call, on one manual clock; sleeping moves the clock."""

    adapters: dict[Provider, ScriptedAdapter]
    settings: LLMSettings = field(default_factory=lambda: LLMSettings(http_max_retries=3, breaker_failures=100))
    remaining: float = 60.0
    clock: ManualClock = field(default_factory=ManualClock)
    allowance: RecordingAllowance = field(default_factory=RecordingAllowance)
    recorded: list[ModelAttempt] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    metrics: WorkerMetrics = field(default_factory=lambda: WorkerMetrics(version="test"))

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(
            self.settings, redis=None, metrics=self.metrics.outbound, clock=self.clock, rng=random.Random(1)
        )
        self.dialects = DialectBook(redis=None, clock=self.clock)
        self.limits = ProviderLimits(self.settings, redis=None, clock=self.clock)
        self.deadline = self.clock.monotonic() + self.remaining

    def scope(self, task_id: str = "task-1") -> CallScope:
        return CallScope(
            task_id=task_id,
            request_id="request-1",
            tenant="default",
            workflow_type="peer",
            allowance=self.allowance,
            remaining_seconds=lambda: self.deadline - self.clock.monotonic(),
            on_attempt=self.recorded.append,
            step=lambda: "classify#1",
        )

    def parts(self) -> CallParts:
        return CallParts(
            settings=self.settings,
            adapters=MemoryAdapters(self.adapters),
            breaker=self.breaker,
            dialects=self.dialects,
            requests=HopRequests(self.settings, elsewhere=()),
            limits=self.limits,
            meter=Meter(prices=PriceTable(), metrics=self.metrics.outbound, clock=self.clock),
            metrics=self.metrics.outbound,
            rng=random.Random(1),
            sleep=self.sleep,
        )

    def gateway(self, source: MemoryAdapters, *, agents: AgentSettings, tracing: Tracing) -> LLMGateway:
        return LLMGateway(
            self.settings,
            agents,
            adapters=source,
            breaker=self.breaker,
            dialects=self.dialects,
            limits=self.limits,
            prices=PriceTable(elsewhere=asked_elsewhere(self.settings)),
            metrics=self.metrics.outbound,
            tracing=tracing,
            clock=self.clock,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def statuses(attempts: Sequence[ModelAttempt]) -> list[str]:
    return [f"{attempt.model} {attempt.status.value}" for attempt in attempts]
