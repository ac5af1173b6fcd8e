"""Doubles of the ports that agents see: a scripted model, a journal in memory, a search without a network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from app.agents.base import AgentContext
from app.domain.agent import AgentCard
from app.domain.identity import DEFAULT_TENANT, RequestId, SessionId, TaskId
from app.domain.message import Message, MessageRole
from app.domain.task import Step, Task, TaskStatus
from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.errors import SearchUnavailable, TaskFailure
from app.llm.interface import ChatMessage, Completion, ModelRole, Parsed, ToolSpec
from app.settings import ProcessSettings
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from app.tools.search_tool import SearchHit

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
CONTENT = AgentCard(name="ContentAgent", agent_type="content", description="Writes articles.", version="1")
CODE = AgentCard(name="CodeAgent", agent_type="code", description="Writes code.", version="1")

Reply = str | Mapping[str, Any] | TaskFailure


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass
class ModelCall:
    """What a node asked the model."""

    messages: Sequence[ChatMessage]
    role: ModelRole
    schema: type[BaseModel] | None
    tools: Sequence[ToolSpec] = ()

    @property
    def prompt(self) -> str:
        return "\n".join(message.content for message in self.messages)


class ScriptedLLM:
    """Answers by the script, in order: a text, the fields of a structured answer, an error, or what a function says."""

    def __init__(self, *replies: Reply | Callable[[ModelCall], str], journal: MemoryJournal | None = None) -> None:
        self._replies = list(replies)
        self.journal = journal
        self.calls: list[ModelCall] = []

    async def complete(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, schema: type[Parsed] | None = None
    ) -> Completion[Parsed]:
        reply = self._next(ModelCall(messages, role, schema))
        parsed = schema.model_validate(reply) if schema is not None else None
        return self._completion(json.dumps(reply), parsed)

    async def chat(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, on_text: Callable[[str], None] | None = None
    ) -> Completion[BaseModel]:
        text = str(self._next(ModelCall(messages, role, None)))
        if on_text is not None:
            on_text(text)
        return self._completion(text, None)

    async def with_tools(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, tools: Sequence[ToolSpec]
    ) -> Completion[BaseModel]:
        reply = self._next(ModelCall(messages, role, None, tools))
        return self._completion(str(reply), None)

    def _next(self, call: ModelCall) -> str | Mapping[str, Any]:
        self.calls.append(call)
        reply = self._replies.pop(0)
        if isinstance(reply, TaskFailure):
            raise reply
        return reply(call) if callable(reply) else reply

    def _completion(self, text: str, parsed: Parsed | None) -> Completion[Parsed]:
        usage = Usage(input_tokens=10, output_tokens=5, cost_microusd=30)
        attempt = ModelAttempt(
            provider="double", model="scripted", status=AttemptStatus.OK, usage=usage, started_at=NOW
        )
        if self.journal is not None:
            self.journal.observe(attempt)
        return Completion(text=text, served_model="scripted", usage=usage, attempts=(attempt,), parsed=parsed)


class MemoryMeter:
    def __init__(self) -> None:
        self.seen: list[ModelAttempt] = []

    def attempts(self) -> Sequence[ModelAttempt]:
        return self.seen


class MemoryJournal:
    """Keeps steps as a database would: as JSON. `resumed` is the journal of the next run of the same task."""

    def __init__(self, stored: Mapping[str, str] | None = None) -> None:
        self._stored = dict(stored or {})
        self._occurrences: Counter[str] = Counter()
        self._meter = MemoryMeter()
        self.recorded: list[str] = []
        self.flushed: list[str] = []

    def next_key(self, node: str) -> str:
        self._occurrences[node] += 1
        return f"{node}#{self._occurrences[node]}"

    def find(self, key: str, input_hash: str) -> Step | None:
        stored = self._stored.get(key)
        step = Step.model_validate_json(stored) if stored is not None else None
        return step if step is not None and step.input_hash == input_hash else None

    def collect(self, key: str) -> MemoryMeter:
        self._meter = MemoryMeter()
        return self._meter

    def observe(self, attempt: ModelAttempt) -> None:
        self._meter.seen.append(attempt)

    async def record(self, step: Step, *, flush: bool) -> None:
        json.dumps(step.output, allow_nan=False)
        self._stored[step.key] = step.model_dump_json()
        self.recorded.append(step.key)
        if flush:
            self.flushed.append(step.key)

    def step(self, key: str) -> Step:
        return Step.model_validate_json(self._stored[key])

    def forget(self, key: str) -> None:
        del self._stored[key]

    def resumed(self) -> MemoryJournal:
        return MemoryJournal(self._stored)


@dataclass
class FakeSearch:
    """Gives the hits of each query; a query without an entry fails."""

    hits: Mapping[str, Sequence[SearchHit]] = field(default_factory=dict)
    available: bool = True
    queries: list[str] = field(default_factory=list)

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        self.queries.append(query)
        if query not in self.hits:
            raise SearchUnavailable(f"the double has no answer for a query of request {request_id}")
        return self.hits[query]


def hit(url: str, *, title: str = "A page", excerpt: str = "An excerpt.") -> SearchHit:
    return SearchHit(title=title, url=url, source=url.split("/")[2], excerpt=excerpt)


def make_task(text: str = "Do something useful") -> Task:
    return Task(
        id=TaskId("0b5a3a52-0a0e-4a55-9a52-0b5a3a520a0e"),
        tenant=DEFAULT_TENANT,
        task=text,
        session_id=SessionId("1c6b4b63-1b1f-4b66-8b63-1c6b4b631b1f"),
        request_id=RequestId("request-1"),
        status=TaskStatus.PROCESSING,
        rev=1,
        created_at=NOW,
        queued_at=NOW,
        updated_at=NOW,
        changed_at=NOW,
    )


def said(role: MessageRole, content: str, *, agent_name: str | None = None) -> Message:
    return Message(role=role, content=content, created_at=NOW, agent_name=agent_name)


def make_context(
    llm: ScriptedLLM,
    *,
    task: str = "Do something useful",
    history: Sequence[Message] = (),
    search: FakeSearch | None = None,
    journal: MemoryJournal | None = None,
    cards: Sequence[AgentCard] = (CONTENT, CODE),
    min_confidence: float = 0.5,
) -> AgentContext:
    journal = journal or MemoryJournal()
    llm.journal = journal
    return AgentContext(
        task=make_task(task),
        history=history,
        llm=llm,
        search=search or FakeSearch(available=False),
        journal=journal,
        cards=cards,
        min_confidence=min_confidence,
        clock=FixedClock(),
        metrics=WorkerMetrics(version="test").tasks,
        tracing=Tracing(ProcessSettings(), process="test", version="0"),
        workflow_type="test",
    )
