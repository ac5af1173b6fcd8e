"""The contract of an agent: its context, its journal, and the wrapper that makes a node a step of the journal.

A node is a plain async function `(state, runtime) -> partial state`. `journaled` wraps it: a step that the task's
journal has under the same key with the same hash of recorded inputs is not run again; its recorded output is used.
State therefore holds JSON values only, and never a rendered prompt, a model's name or anything that another worker
would see differently. An exception of a node reaches the caller of the graph unchanged. `run_step` does the same for
work that is no node, such as a call of the chat model that agents written with LangChain use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NotRequired, Protocol, TypedDict, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.typing import StateT
from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from app.domain.agent import AgentCard, AgentOutput, CutOff
from app.domain.message import Message
from app.domain.task import Step, Task
from app.domain.usage import NO_USAGE, ModelAttempt
from app.errors import TaskFailure
from app.llm.interface import BoundLLM, Completion, ModelRole
from app.ports import Clock
from app.telemetry.metrics import TaskMetrics
from app.telemetry.tracing import Tracing
from app.tools.search_tool import SearchTool

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

# Supersteps of one run of a graph; the longest built-in graph has four. It ends a graph whose edges form a loop.
RECURSION_LIMIT = 32
# Node names are Python identifiers, so `next_key` never gives a key with this mark, and no run finds such a step.
FAILED_MARK = "~"
# The digits of the hash in the key of a step that is found by its inputs.
_KEY_DIGITS = 12

State = TypeVar("State", bound=Mapping[str, Any])
StateInput = TypeVar("StateInput", bound=Mapping[str, Any], contravariant=True)
Node = Callable[[State, "Runtime[AgentContext]"], Awaitable[dict[str, Any]]]


class Journal(Protocol):
    """The steps of one task, under one claim."""

    def next_key(self, node: str) -> str:
        """Returns `{node}#{n}`; n counts from 1 in this run."""

    def find(self, key: str, input_hash: str) -> Step | None:
        """Returns the recorded step, or None if there is none with this key and hash."""

    def collect(self, key: str) -> AbstractContextManager[StepMeter]:
        """Collects the model attempts of the step `key` until the exit; those of a step inside it go to that step."""

    async def record(self, step: Step, *, flush: bool) -> None:
        """Adds the step; `flush` writes it at once, otherwise the next write includes it. Raises ClaimLost."""


class StepMeter(Protocol):
    """The model attempts of the step that is running."""

    def attempts(self) -> Sequence[ModelAttempt]: ...


@dataclass(frozen=True)
class AgentContext:
    """Everything that a node may use besides its state; LangGraph passes it as the context of the run.

    `cards` are the agents that the router may choose. `agent_name` is the agent that runs, or the router;
    `workflow_type` is its kind, for spans and metrics.
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
    agent_name: str
    workflow_type: str

    def for_agent(self, card: AgentCard, llm: BoundLLM) -> AgentContext:
        """Copies the context for another agent of the same run: the router is followed by the agent that it chose."""
        return replace(self, agent_name=card.name, workflow_type=card.agent_type, llm=llm)

    def chat_model(self, role: ModelRole) -> BaseChatModel:
        """Returns a LangChain chat model on the gateway, for this run only; each of its calls is a step."""
        # Imported on first use: most workers have no agent that is written with LangChain.
        from app.agents.chat_model import GatewayChatModel

        return GatewayChatModel(self, role=role)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # LangChain builds a schema for the parameters of a tool, and so for its `ToolRuntime[AgentContext]`. pydantic
        # has no schema for the protocols among our fields.
        return core_schema.is_instance_schema(cls)


class Agent(Protocol):
    """One agent. `run` raises a TaskFailure if it cannot answer; any other exception is a fault of the agent."""

    @property
    def card(self) -> AgentCard: ...

    async def run(self, context: AgentContext) -> AgentOutput: ...


class JournaledNode(Protocol[StateInput]):
    """A node as LangGraph calls it: LangGraph passes the context of the run in the parameter named `runtime`."""

    __name__: str

    async def __call__(self, state: StateInput, runtime: Runtime[AgentContext]) -> dict[str, Any]: ...


class GraphAgent(Generic[StateT]):
    """The base of agents whose work is one graph, compiled when the agent is made and shared by all its runs.

    The graph has no checkpointer: the journal resumes it, with one write per node. LangGraph's saver makes seven
    writes for a graph of two nodes.
    """

    def __init__(self, card: AgentCard, graph: CompiledStateGraph[StateT, AgentContext, StateT, StateT]) -> None:
        self._card = card
        self._graph = graph

    @property
    def card(self) -> AgentCard:
        return self._card

    async def run_graph(self, state: StateT, context: AgentContext) -> StateT:
        """Runs the graph from `state` to its end and returns the last state. Raises what its nodes raise."""
        config = RunnableConfig(recursion_limit=RECURSION_LIMIT)
        final = await self._graph.ainvoke(state, config, context=context)
        return cast("StateT", final)  # LangGraph declares dict[str, Any] whatever the schema of the graph is


class CutState(TypedDict):
    """The mark of a text that was cut off, as a part of the state of a graph; `cut_off` is the value of a `CutOff`."""

    truncated: NotRequired[bool]
    cut_off: NotRequired[str]


def mark_truncated(completion: Completion[BaseModel]) -> dict[str, bool | str]:
    """Builds the mark of a text that was cut off, for the state; empty for a whole one, which needs none."""
    return {"truncated": True, "cut_off": completion.cut_off.value} if completion.cut_off is not None else {}


def read_cut_off(state: CutState) -> CutOff:
    """Reads the reason why a text was cut off; the limit for a mark of an older version, which has none."""
    return CutOff(state.get("cut_off", CutOff.LIMIT))


def hash_inputs(state: Mapping[str, Any]) -> str:
    """Computes the SHA-256 of the state's canonical JSON, in hexadecimal.

    Raises TypeError for a value that is not JSON, ValueError for NaN and infinity.
    """
    # ASCII, because json.dumps escapes the rest: a lone surrogate, which UTF-8 cannot encode, gets a hash, too.
    canonical = json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


@dataclass(frozen=True)
class _BegunStep:
    """A step whose work has begun."""

    context: AgentContext
    node: str
    agent_name: str
    input_hash: str
    started_at: datetime
    meter: StepMeter

    def ended(self, key: str, output: dict[str, Any]) -> Step:
        """Builds the step with the model attempts so far. Raises ValidationError if the output is not JSON."""
        attempts = tuple(self.meter.attempts())
        return Step(
            key=key,
            node=self.node,
            agent_name=self.agent_name,
            sequence=0,  # the worker's journal numbers the steps when it records them
            input_hash=self.input_hash,
            output=output,
            usage=sum((attempt.usage for attempt in attempts), NO_USAGE),
            attempts=attempts,
            started_at=self.started_at,
            finished_at=self.context.clock.now(),
        )


async def run_step(
    context: AgentContext,
    work: Callable[[], Awaitable[dict[str, Any]]],
    *,
    node: str,
    inputs: Mapping[str, Any],
    agent_name: str = "",
    found_by_inputs: bool = False,
    flush: bool = True,
) -> dict[str, Any]:
    """Returns the recorded output of the step, or runs `work` as this step and records it.

    `inputs` are all that the output depends on. Steps of one `node` are counted in their order; `found_by_inputs` is
    for work that runs side by side, in an order that may change. `agent_name` is the context's if it is empty.

    Work that raises a TaskFailure leaves a step, too. The key of that step ends in `~` and the number of the task's
    attempt: every model attempt is kept, and no later run takes the step for an answer.
    """
    journal = context.journal
    input_hash = hash_inputs(inputs)
    key = journal.next_key(f"{node}_{input_hash[:_KEY_DIGITS]}" if found_by_inputs else node)
    known = journal.find(key, input_hash)
    if known is not None:
        return dict(known.output)
    started_at = context.clock.now()
    with journal.collect(key) as meter:
        begun = _BegunStep(context, node, agent_name or context.agent_name, input_hash, started_at, meter)
        try:
            with context.tracing.span(f"agents.{context.workflow_type}.{node}", attributes={"agents.step": key}):
                output = await work()
        except TaskFailure as failure:
            failed_key = f"{key}{FAILED_MARK}{context.task.attempts}"
            # Not flushed: the write that ends or requeues the task follows at once and includes the step.
            await journal.record(begun.ended(failed_key, {"error": failure.code}), flush=False)
            raise
        await journal.record(begun.ended(key, output), flush=flush)
        return output


def journaled(node: Node[State], *, agent_name: str, flush: bool = True) -> JournaledNode[State]:
    """Makes the node a step of the journal.

    `flush=False` is for nodes that make no paid call, and for nodes whose step is part of the write that follows at
    once (the routing decision, the finish). It saves a write; only CPU work separates the two.
    """
    name: str = getattr(node, "__name__", "node")  # a partial and a callable object have none

    async def run(state: State, runtime: Runtime[AgentContext]) -> dict[str, Any]:
        # The whole state, because a node may read all of it: if anything in it differs, the recorded output is stale.
        return await run_step(
            runtime.context,
            lambda: node(state, runtime),
            node=name,
            inputs=state,
            agent_name=agent_name,
            flush=flush,
        )

    run.__name__ = name  # LangGraph's `add_node` takes the name of the node from here if it gets none
    return run
