"""The input and the output of a model call: plain data, the same for every provider.

`BoundLLM` is all that an agent sees of the gateway: it cannot choose a model, only a role.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from app.domain.agent import CutOff
from app.domain.task import Budget
from app.domain.usage import ModelAttempt, Usage

Parsed = TypeVar("Parsed", bound=BaseModel)


class ModelRole(StrEnum):
    """The chain of models that answers; the chains are in `LLMSettings`."""

    PEER = "peer"
    CONTENT = "content"
    CODE = "code"
    PRIMARY = "primary"


@dataclass(frozen=True)
class ToolCall:
    """A model's request to run a tool; `arguments` is what the model sent, not yet validated."""

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
    """One message of a conversation. `tool_call_id` names the call that a message of the role `tool` answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True)
class Completion(Generic[Parsed]):
    """A usable answer. `usage` sums all attempts, failed ones too; `parsed` is set if a schema was given.

    `cut_off` is the reason why the text could not be continued to its end; None if it is whole.
    """

    text: str
    served_model: str
    usage: Usage
    attempts: tuple[ModelAttempt, ...]
    parsed: Parsed | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    cut_off: CutOff | None = None

    @property
    def truncated(self) -> bool:
        """Checks whether the text does not come to its end."""
        return self.cut_off is not None


class Allowance(Protocol):
    """Permission for a model call, read before each: it unites the lease, the cancel flag and the budget."""

    async def reserve(
        self, upper_bound: Usage, *, model: str = "the model", cut: Callable[[Budget], Usage] | None = None
    ) -> Usage:
        """Reserves the highest possible cost of the call and returns it. Raises BudgetExceeded, ClaimLost or Postponed.

        If `upper_bound` does not fit in the budget, `cut` makes a smaller bound, one with a shorter answer, for the
        limits that are left. `model` is named in the error.
        """

    def settle(self, upper_bound: Usage, actual: Usage) -> None:
        """Replaces the reservation by the actual usage."""


@dataclass(frozen=True)
class CallScope:
    """The task for which calls are made. `remaining_seconds` is the time until its deadline, read at every use.

    `workflow_type` names the agent's kind on spans; `step` is the key of the current step, empty outside of one;
    `on_attempt` gets every attempt as it ends, failed ones too; `earlier_runs` is how often the task was tried before.
    """

    task_id: str
    request_id: str
    tenant: str
    workflow_type: str
    allowance: Allowance
    remaining_seconds: Callable[[], float]
    on_attempt: Callable[[ModelAttempt], None]
    step: Callable[[], str] = str
    earlier_runs: int = 0


class BoundLLM(Protocol):
    """The gateway, bound to one task. Methods raise subclasses of LLMError, or an error of `Allowance.reserve`."""

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        role: ModelRole,
        schema: type[Parsed] | None = None,
        max_tokens: int | None = None,
    ) -> Completion[Parsed]:
        """Asks for one short answer. With `schema` it is validated, repaired once and set as `parsed`.

        `max_tokens` limits the answer below AGENT_MAX_TOKENS. A budget reserves no more than that for the call.
        """

    async def chat(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, on_text: Callable[[str], None] | None = None
    ) -> Completion[BaseModel]:
        """Asks for one long answer, streamed; `on_text` gets pieces of some words as they come."""

    async def with_tools(
        self, messages: Sequence[ChatMessage], *, role: ModelRole, tools: Sequence[ToolSpec], must_call: bool = False
    ) -> Completion[BaseModel]:
        """Asks for one turn of a tool loop: text, or the tools that the model wants to run.

        With `must_call` text alone is no answer: there is at least one tool call, or LLMOutputInvalid is raised.
        """
