"""A worker whose models answer at once inside the process, to measure the cost of a task without HTTP.

`python -m tests.benchmarks.instant_worker` is the real worker, except that no providers are behind the gateway.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel
from redis.asyncio import Redis

from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.llm.gateway import GatewayLLM, LLMGateway, build_gateway
from app.llm.interface import CallScope, ChatMessage, Completion, ModelRole, ToolSpec
from app.ports import Clock
from app.settings import Settings
from app.telemetry.metrics import OutboundMetrics
from app.telemetry.tracing import Tracing
from worker.__main__ import main

CODE = "```python\nprint('tide')\n```\n"
UPPER = Usage(input_tokens=500, output_tokens=500, cost_microusd=100)
USED = Usage(input_tokens=100, output_tokens=50, cost_microusd=10)


class InstantLLM:
    """A model that answers CodeAgent to the router and code to CodeAgent. It uses the allowance as the gateway does."""

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        role: ModelRole,
        schema: type[Any] | None = None,
        max_tokens: int | None = None,
    ) -> Completion[Any]:
        parsed = None
        if schema is not None:
            parsed = schema(agent_name="CodeAgent", confidence=0.9, reasoning="It asks for code.", alternatives=[])
        return await self._answer("{}", parsed)

    async def chat(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, on_text: Callable[[str], None] | None = None
    ) -> Completion[BaseModel]:
        return await self._answer(CODE, None)

    async def with_tools(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, tools: Sequence[ToolSpec]
    ) -> Completion[BaseModel]:
        return await self._answer(CODE, None)

    async def _answer(self, text: str, parsed: Any) -> Completion[Any]:
        await self._scope.allowance.reserve(UPPER)
        attempt = ModelAttempt(
            provider="instant", model="instant", status=AttemptStatus.OK, usage=USED, started_at=datetime.now(UTC)
        )
        self._scope.allowance.settle(UPPER, USED)
        self._scope.on_attempt(attempt)
        return Completion(text=text, served_model="instant", usage=USED, attempts=(attempt,), parsed=parsed)


class InstantGateway(LLMGateway):
    def bind(self, scope: CallScope) -> GatewayLLM:
        return cast("GatewayLLM", InstantLLM(scope))


def build_instant_gateway(
    settings: Settings, *, redis: Redis, metrics: OutboundMetrics, tracing: Tracing, clock: Clock
) -> LLMGateway:
    gateway = build_gateway(settings, redis=redis, metrics=metrics, tracing=tracing, clock=clock)
    gateway.__class__ = InstantGateway  # keeps all that `build_gateway` has put together; only `bind` differs
    return gateway


if __name__ == "__main__":
    sys.exit(main(build_instant_gateway))
