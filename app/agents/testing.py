"""Doubles for the tests of agents: a scripted model, a scripted search, a journal in memory, a clock moved by hand.

`build_context` puts them together into the context that a run of an agent gets, so that a test of an agent needs
neither a server nor a network nor the worker. The module is part of the package for authors whose agents live in a
distribution of their own; no process of the product imports it, and it imports no test framework.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from app.agents.base import AgentContext
from app.domain.agent import AgentCard, Citation
from app.domain.identity import DEFAULT_TENANT, RequestId, SessionId, TaskId
from app.domain.message import Message, MessageRole
from app.domain.task import Step, Task, TaskStatus
from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.errors import LLMOutputInvalid, SearchUnavailable, TaskFailure
from app.llm.interface import ChatMessage, Completion, ModelRole, Parsed, ToolCall, ToolSpec
from app.settings import ProcessSettings
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from app.tools.search_tool import SearchHit

CONTENT_CARD = AgentCard(name="ContentAgent", agent_type="content", description="Writes articles.", version="1")
CODE_CARD = AgentCard(name="CodeAgent", agent_type="code", description="Writes code.", version="1")
CALL_USAGE = Usage(input_tokens=10, output_tokens=5, cost_microusd=30)

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

Reply = str | Mapping[str, Any] | ToolCall | Sequence[ToolCall] | TaskFailure


class ManualClock:
    """A clock that moves only by `advance`. Both kinds of time move together; it starts 1,000 s into 2026, UTC."""

    def __init__(self) -> None:
        # Not 0: code that takes a moment of 0 for "never" would pass its test.
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


NOW = ManualClock().now()


@dataclass(frozen=True)
class ModelCall:
    """One call that a node made: the messages, the role, and the schema, the tools or the limit that it gave.

    `must_call`: the answer had to be a call of one of the tools.
    """

    messages: Sequence[ChatMessage]
    role: ModelRole
    schema: type[BaseModel] | None
    tools: Sequence[ToolSpec] = ()
    max_tokens: int | None = None
    must_call: bool = False

    @property
    def prompt(self) -> str:
        """Joins the texts of all messages, for assertions on what the model got to read."""
        return "\n".join(message.content for message in self.messages)


class ScriptedLLM:
    """A `BoundLLM` that gives its replies in order and keeps every call in `calls`.

    A reply is a text, the fields of a structured answer, a tool call or a sequence of them, a TaskFailure to raise, or
    a function from the call to any of these. A call beyond the script raises AssertionError, and so do tool calls for
    a call without tools. Every call costs `CALL_USAGE`, which lands in the journal that `build_context` connects, as
    the worker's meter does it.
    """

    def __init__(self, *replies: Reply | Callable[[ModelCall], Reply], journal: MemoryJournal | None = None) -> None:
        self._replies = list(replies)
        self.journal = journal
        self.calls: list[ModelCall] = []

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        role: ModelRole,
        schema: type[Parsed] | None = None,
        max_tokens: int | None = None,
    ) -> Completion[Parsed]:
        """Gives the next reply; with `schema` it is validated as a real answer is, and raises ValidationError."""
        reply = self._next(ModelCall(messages, role, schema, max_tokens=max_tokens))
        parsed = schema.model_validate(reply) if schema is not None else None
        return self._completion(json.dumps(reply), parsed)

    async def chat(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, on_text: Callable[[str], None] | None = None
    ) -> Completion[BaseModel]:
        """Gives the next reply as text; `on_text` gets it in one piece."""
        text = str(self._next(ModelCall(messages, role, None)))
        if on_text is not None:
            on_text(text)
        return self._completion(text, None)

    async def with_tools(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, tools: Sequence[ToolSpec], must_call: bool = False
    ) -> Completion[BaseModel]:
        """Gives the next reply: tool calls, or text; raises LLMOutputInvalid for text if a tool must be called."""
        reply = self._next(ModelCall(messages, role, None, tools, must_call=must_call))
        calls = _tool_calls(reply)
        completion: Completion[BaseModel] = self._completion("" if calls else str(reply), None, calls)
        if must_call and not calls:
            raise LLMOutputInvalid("The reply is a text, but the call demands a tool.", attempts=completion.attempts)
        return completion

    def _next(self, call: ModelCall) -> Any:
        self.calls.append(call)
        if not self._replies:
            raise AssertionError(
                f"The script has no reply left for call {len(self.calls)} (role {call.role.value}). Give ScriptedLLM "
                "one reply per call, or search `calls` for a call that should not have been made."
            )
        scripted = self._replies.pop(0)
        reply = scripted(call) if callable(scripted) else scripted
        if isinstance(reply, TaskFailure):
            raise reply
        if _tool_calls(reply) and not call.tools:
            raise AssertionError(f"The reply to call {len(self.calls)} is a tool call, but the call offers no tools.")
        return reply

    def _completion(
        self, text: str, parsed: Parsed | None, tool_calls: tuple[ToolCall, ...] = ()
    ) -> Completion[Parsed]:
        attempt = ModelAttempt(
            provider="double", model="scripted", status=AttemptStatus.OK, usage=CALL_USAGE, started_at=NOW
        )
        if self.journal is not None:
            self.journal.observe(attempt)
        return Completion(
            text=text,
            served_model="scripted",
            usage=CALL_USAGE,
            attempts=(attempt,),
            parsed=parsed,
            tool_calls=tool_calls,
        )


def _tool_calls(reply: Reply) -> tuple[ToolCall, ...]:
    if isinstance(reply, ToolCall):
        return (reply,)
    return () if isinstance(reply, str | Mapping | TaskFailure) else tuple(reply)


class MemoryMeter:
    """A `StepMeter` over a list."""

    def __init__(self) -> None:
        self.observed: list[ModelAttempt] = []

    def attempts(self) -> Sequence[ModelAttempt]:
        return self.observed


# The meter of the step that runs now. Steps that run side by side have contexts of their own.
_meter: ContextVar[MemoryMeter | None] = ContextVar("memory_meter", default=None)


class MemoryJournal:
    """A `Journal` without a database. `recorded` lists the keys of all steps, `flushed` those written at once.

    Steps are kept as JSON text, as a database would keep them: state that JSON cannot hold fails in the test already.
    """

    def __init__(self, stored: Mapping[str, str] | None = None) -> None:
        self._stored = dict(stored or {})
        self._occurrences: Counter[str] = Counter()
        self.recorded: list[str] = []
        self.flushed: list[str] = []

    def next_key(self, node: str) -> str:
        self._occurrences[node] += 1
        return f"{node}#{self._occurrences[node]}"

    def find(self, key: str, input_hash: str) -> Step | None:
        stored = self._stored.get(key)
        step = Step.model_validate_json(stored) if stored is not None else None
        return step if step is not None and step.input_hash == input_hash else None

    @contextmanager
    def collect(self, key: str) -> Iterator[MemoryMeter]:  # noqa: ARG002  the protocol's
        meter = MemoryMeter()
        outer = _meter.set(meter)
        try:
            yield meter
        finally:
            _meter.reset(outer)

    def observe(self, attempt: ModelAttempt) -> None:
        """Adds the attempt to the step that runs now."""
        meter = _meter.get()
        if meter is not None:
            meter.observed.append(attempt)

    async def record(self, step: Step, *, flush: bool) -> None:
        json.dumps(step.output, allow_nan=False)  # pydantic writes NaN as null; a database would refuse or change it
        self._stored[step.key] = step.model_dump_json()
        self.recorded.append(step.key)
        if flush:
            self.flushed.append(step.key)

    def step(self, key: str) -> Step:
        """Reads a recorded step. Raises KeyError."""
        return Step.model_validate_json(self._stored[key])

    def forget(self, key: str) -> None:
        """Removes a step, as if the worker had died before it was written."""
        del self._stored[key]

    def resumed(self) -> MemoryJournal:
        """Builds the journal of the next run of the same task: it has the steps and counts from 1 again."""
        return MemoryJournal(self._stored)


@dataclass
class ScriptedSearch:
    """A `SearchTool` with fixed hits per query; a query without an entry raises SearchUnavailable.

    `queries` lists what was searched for. `available=False` is an installation without a search provider.
    """

    hits: Mapping[str, Sequence[SearchHit]] = field(default_factory=dict)
    available: bool = True
    queries: list[str] = field(default_factory=list)

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        self.queries.append(query)
        if query not in self.hits:
            raise SearchUnavailable(f"The script has no hits for the query {query!r} of request {request_id}.")
        return self.hits[query]


def build_hit(url: str, *, title: str = "A page", excerpt: str = "An excerpt.") -> SearchHit:
    return SearchHit(title=title, url=url, source=url.split("/")[2], excerpt=excerpt)


def build_task(text: str = "Do something useful") -> Task:
    """Builds a task under way that was accepted at `NOW`."""
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


def build_message(
    role: MessageRole, content: str, *, agent_name: str | None = None, citations: Sequence[Citation] = ()
) -> Message:
    """Builds an earlier turn of the session, for `history`; `citations` are those that its text numbers."""
    return Message(role=role, content=content, created_at=NOW, agent_name=agent_name, citations=tuple(citations))


def build_context(
    llm: ScriptedLLM,
    *,
    task: str = "Do something useful",
    history: Sequence[Message] = (),
    search: ScriptedSearch | None = None,
    journal: MemoryJournal | None = None,
    cards: Sequence[AgentCard] = (CONTENT_CARD, CODE_CARD),
    min_confidence: float = 0.5,
) -> AgentContext:
    """Builds the context of one run and connects the model to its journal. Without `search` none is configured."""
    journal = journal or MemoryJournal()
    llm.journal = journal
    return AgentContext(
        task=build_task(task),
        history=history,
        llm=llm,
        search=search or ScriptedSearch(available=False),
        journal=journal,
        cards=cards,
        min_confidence=min_confidence,
        clock=ManualClock(),
        metrics=WorkerMetrics(version="test").tasks,
        tracing=Tracing(ProcessSettings(), process="test", version="0"),
        agent_name="TestAgent",
        workflow_type="test",
    )
