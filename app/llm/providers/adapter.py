"""What the gateway asks of a vendor's adapter, the same for all of them."""

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
    """How structured output is asked for: by the vendor's own feature, or as the arguments of a function."""

    NATIVE = auto()
    FUNCTION = auto()


@dataclass(frozen=True)
class OutputSchema:
    """A strict JSON schema and its name (letters, digits, `_`)."""

    name: str
    schema: JsonObject


@dataclass(frozen=True)
class ProviderRequest:
    """One HTTP request to be. With `on_text` the answer is streamed, and its text told as it comes."""

    model: str
    messages: Sequence[ChatMessage]
    max_tokens: int
    headers: Mapping[str, str] = field(default_factory=dict)
    output: OutputSchema | None = None
    schema_mode: SchemaMode = SchemaMode.NATIVE
    tools: Sequence[ToolSpec] = ()
    stream: bool = False
    on_text: Callable[[str], None] | None = None


class Finish(Enum):
    """Why the model stopped."""

    DONE = auto()
    LENGTH = auto()
    REFUSED = auto()
    CONTEXT_OVERFLOW = auto()


@dataclass(frozen=True)
class ProviderAnswer:
    """`text` is the raw JSON where a schema was asked for, in either mode."""

    text: str
    tokens: TokenCounts
    served_model: str
    finish: Finish = Finish.DONE
    tool_calls: tuple[ToolCall, ...] = ()


_FINISH_FAULTS = {
    Finish.LENGTH: FaultKind.TRUNCATED,
    Finish.REFUSED: FaultKind.REFUSED,
    Finish.CONTEXT_OVERFLOW: FaultKind.CONTEXT_OVERFLOW,
}


def require_usable(answer: ProviderAnswer) -> ProviderAnswer:
    """The answer itself. Raises ProviderFault, with its tokens, where it was cut off, refused or is empty."""
    kind = _FINISH_FAULTS.get(answer.finish)
    if kind is None and not answer.text.strip() and not answer.tool_calls:
        kind = FaultKind.EMPTY
    if kind is not None:
        raise ProviderFault(kind, "finish", tokens=answer.tokens, served_model=answer.served_model)
    return answer


class ProviderAdapter(Protocol):
    """One vendor. Belongs to one event loop."""

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        """A usable answer. Raises ProviderFault for everything that can go wrong, and lets a cancellation through."""

    async def aclose(self) -> None:
        """Closes its connections; calls under way end with a ProviderFault."""
