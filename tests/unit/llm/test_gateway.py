from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel
from structlog.testing import capture_logs

from app.errors import ConfigurationError, LLMOutputInvalid, LLMUnavailable
from app.llm import spans
from app.llm.chains import Hop
from app.llm.end_user import opaque_name
from app.llm.faults import FaultKind, ProviderFault
from app.llm.gateway import build_gateway
from app.llm.interface import ChatMessage, ModelRole, ToolCall, ToolSpec
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderRequest
from app.settings import AgentSettings, LLMSettings, ProcessSettings, Settings
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from tests.support.doubles import ManualClock
from tests.unit.llm.doubles import Bench, MemoryAdapters, ScriptedAdapter, answer

SECRET = "a very secret prompt"
MESSAGES = [ChatMessage("user", SECRET)]


class RecordedTracing(Tracing):
    """A tracing that keeps spans in memory."""

    def __init__(self) -> None:
        super().__init__(ProcessSettings(otlp_endpoint=None), process="worker", version="test")
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._tracer = provider.get_tracer("test")


Logged = Callable[[str], list[MutableMapping[str, Any]]]


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Returns a reader of the lines logged under an event's name."""
    with capture_logs() as lines:
        yield lambda event: [line for line in lines if line["event"] == event]


TWO_MODELS = LLMSettings(
    peer_model="gpt-4.1-mini",
    content_model="gpt-4.1",
    code_model="gpt-4.1",
    primary_model="gpt-4.1",
    http_max_retries=1,
)
FIRST_HOP_ONLY = AgentSettings(llm_fallback=False)


class Made:
    def __init__(
        self,
        adapter: ScriptedAdapter,
        settings: LLMSettings = TWO_MODELS,
        agents: AgentSettings = FIRST_HOP_ONLY,
    ) -> None:
        self.bench = Bench({Provider.OPENAI: adapter}, settings=settings)
        self.adapter = adapter
        self.tracing = RecordedTracing()
        self.source = MemoryAdapters(self.bench.adapters)
        self.gateway = self.bench.gateway(self.source, agents=agents, tracing=self.tracing)
        self.llm = self.gateway.bind(self.bench.scope())

    def span(self) -> dict[str, Any]:
        (span,) = self.tracing.exporter.get_finished_spans()
        return {"name": span.name, "status": span.status.status_code.name, **dict(span.attributes or {})}


async def test_ids_and_the_trace_go_to_the_provider() -> None:
    made = Made(ScriptedAdapter([answer()]))
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    headers = dict(made.adapter.requests[0].headers)
    traceparent = headers.pop("traceparent")
    assert headers == {"X-Request-ID": "request-1", "X-Task-Id": "task-1", "X-Step": "classify#1"}
    (span,) = made.tracing.exporter.get_finished_spans()
    assert span.context is not None
    assert traceparent.split("-")[1] == f"{span.context.trace_id:032x}"


async def test_the_vendor_gets_a_name_of_the_tenant_that_names_nobody() -> None:
    made = Made(ScriptedAdapter([answer()]))
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    await made.llm.chat(MESSAGES, role=ModelRole.CODE)
    await made.llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[])
    assert {request.end_user for request in made.adapter.requests} == {opaque_name(made.bench.scope().tenant)}


async def test_a_server_of_ones_own_does_not_get_it() -> None:
    made = Made(
        ScriptedAdapter([answer()]), TWO_MODELS.model_copy(update={"openai_base_url": "http://127.0.0.1:4000/v1"})
    )
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert made.adapter.requests[0].end_user == ""


async def test_a_call_is_a_span_without_content() -> None:
    made = Made(ScriptedAdapter([answer("a very secret answer")]))
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    span = made.span()
    assert span["name"] == "agents.peer.llm"
    assert span[spans.REQUEST_MODEL] == "gpt-4.1-mini"
    assert span[spans.RESPONSE_MODEL] == "served"
    assert (span[spans.INPUT_TOKENS], span[spans.OUTPUT_TOKENS]) == (10, 5)
    assert span[spans.WORKFLOW] == "task-1"
    assert span[spans.CORRELATION] == "request-1"
    assert "secret" not in str(span)


async def test_a_failed_call_is_a_failed_span_with_its_attempts() -> None:
    made = Made(ScriptedAdapter([ProviderFault(FaultKind.SERVER)]))
    with pytest.raises(LLMUnavailable):
        await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert (made.span()["status"], made.span()[spans.ATTEMPTS]) == ("ERROR", 1)


async def test_the_role_chooses_the_model() -> None:
    made = Made(ScriptedAdapter([answer()]))
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    await made.llm.chat(MESSAGES, role=ModelRole.CONTENT)
    assert [request.model for request in made.adapter.requests] == ["gpt-4.1-mini", "gpt-4.1"]


async def test_every_answer_is_streamed_so_that_a_slow_one_shows_that_it_lives() -> None:
    made = Made(ScriptedAdapter([answer()]))
    tool = ToolSpec(name="search", description="", parameters={})
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    await made.llm.chat(MESSAGES, role=ModelRole.PEER)
    await made.llm.with_tools(MESSAGES, role=ModelRole.PEER, tools=[tool])
    assert [request.stream for request in made.adapter.requests] == [True] * 3
    assert made.adapter.requests[2].tools == (tool,)


async def test_a_tool_that_must_be_called_is_called_or_the_call_fails() -> None:
    tool = ToolSpec(name="search", description="", parameters={})
    called = replace(answer(""), tool_calls=(ToolCall("c1", "search", {}),))
    made = Made(ScriptedAdapter([called, answer("I would rather not.")]))
    completion = await made.llm.with_tools(MESSAGES, role=ModelRole.PEER, tools=[tool], must_call=True)
    assert (completion.tool_calls, made.adapter.requests[0].must_call_tool) == (called.tool_calls, True)
    with pytest.raises(LLMOutputInvalid):
        await made.llm.with_tools(MESSAGES, role=ModelRole.PEER, tools=[tool], must_call=True)
    free = await made.llm.with_tools(MESSAGES, role=ModelRole.PEER, tools=[tool])
    assert (free.text, made.adapter.requests[-1].must_call_tool) == ("I would rather not.", False)


async def test_the_role_sets_the_effort_of_models_that_think() -> None:
    settings = LLMSettings(peer_model="gpt-6", content_model="gpt-6,gpt-4.1", peer_effort="low", content_effort="high")
    adapter = ScriptedAdapter([answer(), ProviderFault(FaultKind.EMPTY), answer()])
    made = Made(adapter, settings, AgentSettings())
    await made.llm.complete(MESSAGES, role=ModelRole.PEER)
    await made.llm.chat(MESSAGES, role=ModelRole.CONTENT)
    assert [(request.model, request.effort) for request in adapter.requests] == [
        ("gpt-6", "low"),
        ("gpt-6", "high"),
        ("gpt-4.1", ""),
    ]


@pytest.mark.parametrize(("asked", "limit"), [(None, 4_000), (500, 500), (9_000, 4_000)])
async def test_a_short_answer_has_its_own_limit_below_that_of_all(asked: int | None, limit: int) -> None:
    class City(BaseModel):
        name: str

    made = Made(ScriptedAdapter([answer('{"name": "Oslo"}')]))
    await made.llm.complete(MESSAGES, role=ModelRole.PEER, max_tokens=asked)
    await made.llm.complete(MESSAGES, role=ModelRole.PEER, schema=City, max_tokens=asked)
    await made.llm.chat(MESSAGES, role=ModelRole.PEER)
    assert [request.max_tokens for request in made.adapter.requests] == [limit, limit, 4_000]


@pytest.mark.parametrize(
    ("url", "priced"),
    [(None, True), ("https://eu.api.openai.com/v1", True), ("http://127.0.0.1:1/v1", False)],
)
async def test_prices_hold_at_the_providers_own_address(url: str | None, priced: bool) -> None:
    gateway = build_gateway(
        Settings(llm=LLMSettings(openai_base_url=url)),
        redis=None,
        metrics=WorkerMetrics(version="test").outbound,
        tracing=RecordedTracing(),
        clock=ManualClock(),
    )
    request = ProviderRequest("", MESSAGES, max_tokens=100)
    bound = gateway.parts.meter.upper_bound(Hop(Provider.OPENAI, "gpt-4.1"), request)
    assert (bound.cost_microusd is not None) is priced


ENDS = datetime(2027, 1, 14, tzinfo=UTC)


async def test_a_model_that_is_not_listed_is_logged_and_the_end_of_a_listed_one_is_shown(logged: Logged) -> None:
    made = Made(ScriptedAdapter([answer()]))
    made.source.listed[Provider.OPENAI] = {"gpt-4.1": ENDS, "gpt-4": None}
    await made.gateway.observe_models()
    assert made.bench.sample("agents_llm_model_shutdown_timestamp_seconds", provider="openai", model="gpt-4.1") > 0
    (line,) = logged("llm_model_unlisted")
    assert line["model"] == "openai:gpt-4.1-mini"


async def test_a_name_without_a_date_is_found_among_those_with_one(logged: Logged) -> None:
    made = Made(ScriptedAdapter([answer()]))
    made.source.listed[Provider.OPENAI] = {"gpt-4.1-2026-01-01": None, "gpt-4.1-mini-2026-01-01": None}
    await made.gateway.observe_models()
    assert logged("llm_model_unlisted") == []


@pytest.mark.parametrize(
    ("kind", "level"), [(FaultKind.AUTH, "warning"), (FaultKind.WRONG_ENDPOINT, "warning"), (FaultKind.SERVER, "info")]
)
async def test_a_list_that_cannot_be_read_says_why(logged: Logged, kind: FaultKind, level: str) -> None:
    made = Made(ScriptedAdapter([answer()]))
    made.source.listed[Provider.OPENAI] = ProviderFault(kind, "404 (is OPENAI_BASE_URL right?)")
    await made.gateway.observe_models()
    (line,) = logged("llm_models_unread")
    assert (line["log_level"], line["reason"], line["detail"]) == (level, kind.value, "404 (is OPENAI_BASE_URL right?)")


async def test_closing_the_gateway_closes_its_clients() -> None:
    made = Made(ScriptedAdapter([answer()]))
    await made.gateway.aclose()
    assert made.source.closed


async def test_a_chain_that_makes_no_sense_stops_the_start() -> None:
    settings = Settings(llm=LLMSettings(peer_model="llama3"))
    with pytest.raises(ConfigurationError, match="llama3"):
        build_gateway(
            settings,
            redis=None,
            metrics=WorkerMetrics(version="test").outbound,
            tracing=RecordedTracing(),
            clock=ManualClock(),
        )
