"""What an agent is, what it gets, and how its nodes are journalled.

A node is a plain async function `(state, runtime) -> partial state`. `journaled` wraps it: a step that stands in the
task's journal under the same key with the same hash of recorded inputs is not run again; its recorded output is used.
State therefore holds JSON values only, and never a rendered prompt, a model's name or anything that another worker
would see differently. What a node raises reaches the caller of the graph as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.typing import StateT

from app.domain.agent import AgentCard, AgentOutput
from app.domain.message import Message
from app.domain.task import Step, Task
from app.domain.usage import NO_USAGE, ModelAttempt
from app.errors import TaskFailure
from app.llm.interface import BoundLLM
from app.ports import Clock
from app.telemetry.metrics import TaskMetrics
from app.telemetry.tracing import Tracing
from app.tools.search_tool import SearchTool

RECURSION_LIMIT = 32
FAILED_MARK = "~"

State = TypeVar("State", bound=Mapping[str, Any])
StateInput = TypeVar("StateInput", bound=Mapping[str, Any], contravariant=True)
Node = Callable[[State, "Runtime[AgentContext]"], Awaitable[dict[str, Any]]]


class Journal(Protocol):
    """The steps of one task, under one claim."""

    def next_key(self, node: str) -> str:
        """`{node}#{n}`, n counting from 1 in this run."""

    def find(self, key: str, input_hash: str) -> Step | None: ...

    def collect(self, key: str) -> StepMeter:
        """Starts to collect the model attempts of the node that begins now as the step `key`."""

    async def record(self, step: Step, *, flush: bool) -> None:
        """Adds the step; `flush` writes it at once, else with the next write. Raises ClaimLost."""


class StepMeter(Protocol):
    """What the node that runs has spent so far."""

    def attempts(self) -> Sequence[ModelAttempt]: ...


@dataclass(frozen=True)
class AgentContext:
    """All that a node may use beside its state; handed to LangGraph as the run's context.

    `cards` are the agents that the router may choose from. `workflow_type` is the agent's kind, for spans and metrics.
    """

    task: Task
    history: Sequence[Message]
    llm: BoundLLM
    search: SearchTool
    journal: Journal
    cards: Sequence[AgentCard]
    min_confidence: float
    clock: Clock
    metrics: TaskMetrics
    tracing: Tracing
    workflow_type: str

    def for_agent(self, workflow_type: str, llm: BoundLLM) -> AgentContext:
        return replace(self, workflow_type=workflow_type, llm=llm)


class Agent(Protocol):
    """One agent. Raises a TaskFailure when it cannot answer; anything else is a fault of the agent."""

    @property
    def card(self) -> AgentCard: ...

    async def run(self, context: AgentContext) -> AgentOutput: ...


class JournaledNode(Protocol[StateInput]):
    """A node as LangGraph takes it: it hands the run's context over by the name `runtime`."""

    __name__: str

    async def __call__(self, state: StateInput, runtime: Runtime[AgentContext]) -> dict[str, Any]: ...


class GraphAgent(Generic[StateT]):
    """Base of agents whose work is one graph: compiled when the agent is made, shared by all its runs.

    The graph has no checkpointer: the journal resumes it, with one write a node instead of LangGraph's several.
    """

    def __init__(self, card: AgentCard, graph: CompiledStateGraph[StateT, AgentContext, StateT, StateT]) -> None:
        self._card = card
        self._graph = graph

    @property
    def card(self) -> AgentCard:
        return self._card

    async def run_graph(self, state: StateT, context: AgentContext) -> StateT:
        """Runs the graph from `state` to its end and gives the last state. Raises what its nodes raise."""
        config = RunnableConfig(recursion_limit=RECURSION_LIMIT)
        final = await self._graph.ainvoke(state, config, context=context)
        return cast("StateT", final)


def hash_inputs(state: Mapping[str, Any]) -> str:
    """SHA-256 of the state's canonical JSON, hexadecimal. Raises TypeError where a value is not JSON."""
    canonical = json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def journaled(node: Node[State], *, agent_name: str, flush: bool = True) -> JournaledNode[State]:
    """Makes the node a step of the journal.

    A node that fails leaves a step, too: under its key, `~` and the number of the task's attempt, so that every try of
    a model is kept and no later run takes it for an answer.

    `flush=False` is for nodes that make no paid call, and for those whose step is written by what follows at once (the
    routing decision, the finish): one write fewer, nothing but CPU work in between.
    """
    name: str = getattr(node, "__name__", "node")

    async def run(state: State, runtime: Runtime[AgentContext]) -> dict[str, Any]:
        context = runtime.context
        journal = context.journal
        key = journal.next_key(name)
        input_hash = hash_inputs(state)
        known = journal.find(key, input_hash)
        if known is not None:
            return dict(known.output)
        started_at: datetime = context.clock.now()
        meter = journal.collect(key)

        def step(step_key: str, output: dict[str, Any]) -> Step:
            attempts = tuple(meter.attempts())
            return Step(
                key=step_key,
                node=name,
                agent_name=agent_name,
                sequence=0,
                input_hash=input_hash,
                output=output,
                usage=sum((attempt.usage for attempt in attempts), NO_USAGE),
                attempts=attempts,
                started_at=started_at,
                finished_at=context.clock.now(),
            )

        try:
            with context.tracing.span(f"agents.{context.workflow_type}.{name}", attributes={"agents.step": key}):
                output = await node(state, runtime)
        except TaskFailure as failure:
            failed_key = f"{key}{FAILED_MARK}{context.task.attempts}"
            await journal.record(step(failed_key, {"error": failure.code}), flush=False)
            raise
        await journal.record(step(key, output), flush=flush)
        return output

    run.__name__ = name
    return run
