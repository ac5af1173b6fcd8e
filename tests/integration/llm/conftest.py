"""The gateway on real HTTP: the simulator, a process of its own, answers for the providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from app.domain.usage import ModelAttempt
from app.llm.gateway import GatewayLLM, LLMGateway, build_gateway
from app.llm.interface import CallScope, Completion
from app.settings import LLMSettings, ProcessSettings, Settings
from app.system_clock import SystemClock
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from tests.support.simulators import running_simulator
from tests.unit.llm.doubles import RecordingAllowance

TASK = "task-1"


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running_simulator() as server:
        yield server.url


@dataclass
class Control:
    """The simulator's control API."""

    http: httpx.AsyncClient

    async def calls(self) -> dict[str, Any]:
        """Reads the calls of the task and the simulator's counts for them."""
        counted: dict[str, Any] = (await self.http.get("/simulator/calls", params={"task_id": TASK})).json()
        return counted

    async def add_fault(self, **fault: str | int) -> None:
        (await self.http.post("/simulator/faults", json=fault)).raise_for_status()


@pytest.fixture
async def control(simulator: str) -> AsyncIterator[Control]:
    """Returns the control API with no call counted and no fault set."""
    async with httpx.AsyncClient(base_url=simulator) as http:
        await http.delete("/simulator/faults")
        await http.delete("/simulator/calls")
        yield Control(http)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps the environment and a `.env` out of these tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Asked:
    """A gateway that asks `models` in every role, bound to one task."""

    gateway: LLMGateway
    metrics: WorkerMetrics
    allowance: RecordingAllowance = field(default_factory=RecordingAllowance)
    recorded: list[ModelAttempt] = field(default_factory=list)
    remaining_seconds: float = 30.0

    @property
    def llm(self) -> GatewayLLM:
        return self.bound_to(TASK)

    def bound_to(self, task_id: str) -> GatewayLLM:
        return self.gateway.bind(
            CallScope(
                task_id=task_id,
                request_id="request-1",
                tenant="default",
                workflow_type="peer",
                allowance=self.allowance,
                remaining_seconds=lambda: self.remaining_seconds,
                on_attempt=self.recorded.append,
            )
        )


def build_asked(settings: LLMSettings) -> Asked:
    """Builds a gateway with these settings, without Redis."""
    metrics = WorkerMetrics(version="test")
    process = ProcessSettings(otlp_endpoint=None)
    gateway = build_gateway(
        Settings(process=process, llm=settings),
        redis=None,
        metrics=metrics.outbound,
        tracing=Tracing(process, process="worker", version="test"),
        clock=SystemClock(),
    )
    return Asked(gateway, metrics)


def tokens_of(completion: Completion[BaseModel]) -> tuple[int, int]:
    """Returns the input and output tokens that were recorded."""
    return completion.usage.input_tokens, completion.usage.output_tokens


Ask = Callable[..., Asked]


@pytest.fixture
async def ask(simulator: str) -> AsyncIterator[Ask]:
    """Returns a builder: `ask("sim-down", fallback="claude-sim-ok")`; further keywords are settings."""
    made: list[LLMGateway] = []

    def build(
        models: str,
        *,
        fallback: str = "",
        key_file: Path | None = None,
        tries: int = 2,
        timeout: float = 10.0,
        **others: int,
    ) -> Asked:
        settings = LLMSettings(
            peer_model=models,
            content_model=models,
            code_model=models,
            primary_model=models,
            fallback_model=fallback,
            openai_base_url=f"{simulator}/v1",
            anthropic_base_url=simulator,
            openai_api_key=SecretStr("sk-test"),
            openai_api_key_file=key_file,
            anthropic_api_key=SecretStr("sk-ant-test"),
            http_max_retries=tries,
            http_base_backoff_seconds=0.05,
        ).model_copy(update={"silence_seconds": timeout, **others})  # shorter than anybody may set it
        asked = build_asked(settings)
        made.append(asked.gateway)
        return asked

    yield build
    for gateway in made:
        await gateway.aclose()
