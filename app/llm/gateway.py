"""The only way to a model: chains of models by role, bound to the task on whose behalf they are called.

Built once per worker process on its one event loop, because the clients inside belong to that loop. `bind` is cheap.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from pydantic import BaseModel
from redis.asyncio import Redis

from app.llm import spans
from app.llm.adapters import ProviderAdapters
from app.llm.chain_call import AdapterSource, CallParts, ChainCall
from app.llm.chains import Hop, build_chains
from app.llm.dialect_book import DialectBook
from app.llm.end_user import opaque_name
from app.llm.faults import FaultKind
from app.llm.hop_request import HopRequests
from app.llm.interface import CallScope, ChatMessage, Completion, ModelRole, Parsed, ToolSpec
from app.llm.limits import ProviderLimits
from app.llm.metering import Meter
from app.llm.model_check import ModelLists, ProviderList, read_lists
from app.llm.plans import PlainPlan, Plan, StructuredPlan
from app.llm.pricing import PriceTable
from app.llm.provider_table import Provider, asked_elsewhere
from app.llm.providers.adapter import ProviderRequest
from app.outbound.breaker import CircuitBreaker
from app.ports import Clock
from app.settings import AgentSettings, LLMSettings, Settings
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics
from app.telemetry.tracing import Tracing, current_traceparent

REQUEST_ID_HEADER = "X-Request-ID"
TASK_ID_HEADER = "X-Task-Id"
STEP_HEADER = "X-Step"
# Faults that only a person can mend; an outage passes.
_TO_BE_MENDED = (FaultKind.AUTH, FaultKind.WRONG_ENDPOINT, FaultKind.QUOTA)
_LISTED_SHOWN = 20
_log = get_logger(__name__)


class ClosableAdapters(AdapterSource, ModelLists, Protocol):
    """The adapters as the gateway owns them: it also asks which are usable, and closes them."""

    def usable(self) -> Collection[Provider]:
        """Returns the providers that have a key or an address."""

    async def aclose(self) -> None:
        """Closes all adapters."""


class LLMGateway:
    """The models of one process. `breaker` also serves the web search, and the worker publishes its states."""

    def __init__(
        self,
        settings: LLMSettings,
        agents: AgentSettings,
        *,
        adapters: ClosableAdapters,
        breaker: CircuitBreaker,
        dialects: DialectBook,
        limits: ProviderLimits,
        prices: PriceTable,
        metrics: OutboundMetrics,
        tracing: Tracing,
        clock: Clock,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.breaker = breaker
        self.limits = limits
        self._adapters = adapters
        self.settings = settings
        self.usable = adapters.usable()
        self.chains = build_chains(settings, agents, usable=self.usable)
        self.tracing = tracing
        self.parts = CallParts(
            settings=settings,
            adapters=adapters,
            breaker=breaker,
            dialects=dialects,
            requests=HopRequests(settings, elsewhere=asked_elsewhere(settings)),
            limits=limits,
            meter=Meter(prices=prices, metrics=metrics, clock=clock),
            metrics=metrics,
            rng=rng or random.Random(),
            sleep=sleep,
        )

    def bind(self, scope: CallScope) -> GatewayLLM:
        """Binds the gateway to one task."""
        return GatewayLLM(self, scope)

    async def observe_models(self) -> None:
        """Compares the chains with the providers' lists of models, and sets the gauge of the dates on which they end.

        A wrong address, a wrong key and a model that is not listed are logged: the first task would fail with them.
        """
        lists = await self.read_lists()
        for provider, listed in lists.items():
            if (fault := listed.fault) is not None:
                log = _log.warning if fault.kind in _TO_BE_MENDED else _log.info
                log("llm_models_unread", provider=provider, reason=fault.kind.value, detail=fault.detail)
        for hop in sorted(self.hops, key=lambda hop: hop.name):
            if hop.provider in lists:
                self._observe_model(hop, lists[hop.provider])

    def _observe_model(self, hop: Hop, listed: ProviderList) -> None:
        ends = listed.ends(hop.model)
        if ends is not None:
            gauge = self.parts.metrics.llm_shutdown.labels(provider=hop.provider, model=hop.model)
            gauge.set(ends.timestamp())
        if listed.lists(hop.model) is False:
            _log.warning("llm_model_unlisted", model=hop.name, listed=sorted(listed.models)[:_LISTED_SHOWN])

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Returns the hops of all chains, each once, in the order in which they occur."""
        return tuple(dict.fromkeys(hop for chain in self.chains.values() for hop in chain))

    async def read_lists(self) -> Mapping[str, ProviderList]:
        """Reads the lists of models of the providers in use."""
        return await read_lists(self.hops, self._adapters)

    async def aclose(self) -> None:
        await self._adapters.aclose()


class GatewayLLM:
    """Implements `BoundLLM`."""

    def __init__(self, gateway: LLMGateway, scope: CallScope) -> None:
        self._gateway = gateway
        self._scope = scope
        self._max_tokens = gateway.settings.max_tokens
        self._efforts: Mapping[ModelRole, str] = {
            ModelRole.PEER: gateway.settings.peer_effort,
            ModelRole.CONTENT: gateway.settings.content_effort,
            ModelRole.CODE: gateway.settings.code_effort,
            ModelRole.PRIMARY: gateway.settings.primary_effort,
        }

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        role: ModelRole,
        schema: type[Parsed] | None = None,
        max_tokens: int | None = None,
    ) -> Completion[Parsed]:
        """Asks for a short answer."""
        limit = self._max_tokens if max_tokens is None else min(max_tokens, self._max_tokens)
        request = replace(self._request(messages, role), max_tokens=limit)
        if schema is not None:
            return await self._run(StructuredPlan(request, schema), role=role)
        return await self._run(PlainPlan[Parsed](request), role=role)

    async def chat(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, on_text: Callable[[str], None] | None = None
    ) -> Completion[BaseModel]:
        """Asks for a long answer."""
        return await self._run(PlainPlan[BaseModel](self._request(messages, role, on_text=on_text)), role=role)

    async def with_tools(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, tools: Sequence[ToolSpec], must_call: bool = False
    ) -> Completion[BaseModel]:
        """Asks for one turn of a tool loop."""
        request = replace(self._request(messages, role, tools=tools), must_call_tool=must_call)
        return await self._run(PlainPlan[BaseModel](request), role=role)

    def _request(
        self,
        messages: Sequence[ChatMessage],
        role: ModelRole,
        *,
        on_text: Callable[[str], None] | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> ProviderRequest:
        return ProviderRequest(
            model="",  # each hop of the chain fills in its own
            messages=tuple(messages),
            max_tokens=self._max_tokens,
            on_text=on_text,
            tools=tuple(tools),
            effort=self._efforts[role],
            end_user=opaque_name(self._scope.tenant),
        )

    async def _run(self, plan: Plan[Parsed], *, role: ModelRole) -> Completion[Parsed]:
        scope = self._scope
        name = f"agents.{scope.workflow_type}.llm"
        with self._gateway.tracing.span(name, attributes=spans.call_attributes(scope, role)) as span:
            call = ChainCall(
                self._gateway.parts,
                scope,
                hops=self._gateway.chains[role],
                plan=plan,
                headers=self._headers(),
            )
            try:
                return await call.run()
            finally:
                spans.describe_attempts(span, call.attempts)

    def _headers(self) -> dict[str, str]:
        headers = {REQUEST_ID_HEADER: self._scope.request_id, TASK_ID_HEADER: self._scope.task_id}
        traceparent = current_traceparent()
        if traceparent is not None:
            headers["traceparent"] = traceparent
        if step := self._scope.step():
            headers[STEP_HEADER] = step
        return headers


def build_gateway(
    settings: Settings, *, redis: Redis | None, metrics: OutboundMetrics, tracing: Tracing, clock: Clock
) -> LLMGateway:
    """Builds the worker's gateway. Raises ConfigurationError for a chain or a price file that cannot be used."""
    return LLMGateway(
        settings.llm,
        settings.agents,
        adapters=ProviderAdapters(settings.llm, metrics=metrics),
        breaker=CircuitBreaker(settings.llm, redis=redis, metrics=metrics, clock=clock),
        dialects=DialectBook(
            redis=redis,
            clock=clock,
            addresses=[settings.llm.of_provider(provider).base_url or "" for provider in Provider],
        ),
        limits=ProviderLimits(settings.llm, redis=redis, clock=clock),
        prices=PriceTable(settings.llm.price_overrides, elsewhere=asked_elsewhere(settings.llm)),
        metrics=metrics,
        tracing=tracing,
        clock=clock,
    )
