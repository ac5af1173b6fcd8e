"""What goes into a model call and what comes out: plain data, the same for every vendor.

`BoundLLM` is all that an agent sees of the gateway: it cannot choose a model, only a role.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from app.domain.usage import ModelAttempt, Usage

Parsed = TypeVar("Parsed", bound=BaseModel)


class ModelRole(StrEnum):
    """Which chain of models answers; the chains stand in `LLMSettings`."""

    PEER = "peer"
    CONTENT = "content"
    CODE = "code"
    PRIMARY = "primary"


@dataclass(frozen=True)
class ToolCall:
    """A model's wish to run a tool; `arguments` is what it sent, not yet validated."""

    id: str
    name: str
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a model sees it; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, JsonValue]


@dataclass(frozen=True)
class ChatMessage:
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True)
class Completion(Generic[Parsed]):
    """A usable answer. `usage` sums all attempts, failed ones too; `parsed` is set where a schema was asked for."""

    text: str
    served_model: str
    usage: Usage
    attempts: tuple[ModelAttempt, ...]
    parsed: Parsed | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class Allowance(Protocol):
    """Permission to spend, asked before every call: the lease, the cancel flag and the budget in one question."""

    async def reserve(self, upper_bound: Usage) -> None:
        """Sets the call's most possible cost aside. Raises BudgetExceeded, DeadlineExceeded or ClaimLost instead."""

    def settle(self, upper_bound: Usage, actual: Usage) -> None:
        """Gives back what the call did not use."""


@dataclass(frozen=True)
class CallScope:
    """On whose behalf calls are made. `remaining_seconds` is the time until the task's deadline, read at every use.

    `workflow_type` names the agent's kind on spans; `step` is the key of the step that runs now, empty outside of one;
    `on_attempt` hears every attempt as it ends, failed ones too.
    """

    task_id: str
    request_id: str
    tenant: str
    workflow_type: str
    allowance: Allowance
    remaining_seconds: Callable[[], float]
    on_attempt: Callable[[ModelAttempt], None]
    step: Callable[[], str] = str


class BoundLLM(Protocol):
    """The gateway, bound to one task. Methods raise subclasses of LLMError, or what `Allowance.reserve` raises."""

    async def complete(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, schema: type[Parsed] | None = None
    ) -> Completion[Parsed]:
        """One short, unstreamed answer; with `schema` it is validated, repaired once, and given as `parsed`."""

    async def chat(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, on_text: Callable[[str], None] | None = None
    ) -> Completion[BaseModel]:
        """One long answer, streamed; `on_text` gets coalesced pieces as they come."""

    async def with_tools(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, tools: Sequence[ToolSpec]
    ) -> Completion[BaseModel]:
        """One turn of a tool-calling loop: text, or the tools that the model wants to run."""
