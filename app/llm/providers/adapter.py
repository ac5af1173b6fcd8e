"""The seam between the gateway and the adapters of the providers, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from pydantic import JsonValue

from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import ChatMessage, ToolCall, ToolSpec
from app.llm.pricing import TokenCounts

JsonObject = dict[str, JsonValue]


class SchemaMode(Enum):
    """The way to request structured output: the provider's own feature, or the arguments of a function."""

    NATIVE = auto()
    FUNCTION = auto()


@dataclass(frozen=True)
class OutputSchema:
    """A strict JSON schema and its name (letters, digits, `_`)."""

    name: str
    schema: JsonObject


@dataclass(frozen=True)
class ProviderRequest:
    """The request for one answer. With `stream`, `on_text` gets the text as it comes.

    `cut_to_budget`: the task's budget left less than the answer may take, so `max_tokens` is what it left.
    """

    model: str
    messages: Sequence[ChatMessage]
    max_tokens: int
    headers: Mapping[str, str] = field(default_factory=dict)
    output: OutputSchema | None = None
    schema_mode: SchemaMode = SchemaMode.NATIVE
    tools: Sequence[ToolSpec] = ()
    stream: bool = False
    on_text: Callable[[str], None] | None = None
    cut_to_budget: bool = False


class Finish(Enum):
    """The reason why the model stopped."""

    DONE = auto()
    LENGTH = auto()
    REFUSED = auto()
    CONTEXT_OVERFLOW = auto()


@dataclass(frozen=True)
class ProviderAnswer:
    """The answer of one attempt. `text` is the raw JSON if a schema was requested, in either mode.

    `tokens` is None if the provider gave no count.
    """

    text: str
    tokens: TokenCounts | None
    served_model: str
    finish: Finish = Finish.DONE
    tool_calls: tuple[ToolCall, ...] = ()


_FINISH_FAULTS = {
    Finish.LENGTH: FaultKind.TRUNCATED,
    Finish.REFUSED: FaultKind.REFUSED,
    Finish.CONTEXT_OVERFLOW: FaultKind.CONTEXT_OVERFLOW,
}


def require_usable(answer: ProviderAnswer) -> ProviderAnswer:
    """Returns the answer itself. Raises ProviderFault, with its tokens, if it is cut off, refused or empty."""
    kind = _FINISH_FAULTS.get(answer.finish)
    if kind is None and not answer.text.strip() and not answer.tool_calls:
        kind = FaultKind.EMPTY
    if kind is not None:
        raise ProviderFault(kind, "finish", tokens=answer.tokens, served_model=answer.served_model, text=answer.text)
    return answer


class ProviderAdapter(Protocol):
    """One provider. Belongs to one event loop."""

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        """Returns a usable answer. Raises ProviderFault for everything that can go wrong, except a cancellation."""

    async def aclose(self) -> None:
        """Closes its connections; calls under way end with a ProviderFault."""
