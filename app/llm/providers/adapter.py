"""The seam between the gateway and the adapters of the providers, the same for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, auto
from typing import Protocol

from pydantic import JsonValue

from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import ChatMessage, ToolCall, ToolSpec
from app.llm.pricing import TokenCounts
from app.llm.server_dialect import FULL, Dialect, Feature

JsonObject = dict[str, JsonValue]
_CALL_A_TOOL = "Answer by calling one of these tools, and write nothing else: {names}."


class SchemaMode(IntEnum):
    """The way to request structured output: the provider's own feature, a function's arguments, or words alone."""

    NATIVE = 1
    FUNCTION = 2
    PROMPT = 3


@dataclass(frozen=True)
class OutputSchema:
    """A strict JSON schema and its name (letters, digits, `_`)."""

    name: str
    schema: JsonObject


@dataclass(frozen=True)
class ProviderRequest:
    """The request for one answer. With `stream`, `on_text` gets the text as it comes.

    `silence_seconds` is the longest wait for the next sign of life, the first one included. `thinks`: the model thinks
    first. `effort` is how much it shall think (a word of its vendor), empty for its default. `end_user` is the opaque
    name of the tenant, empty if the provider shall not get it. `at_vendor`: it goes to the vendor's own address, which
    keeps what it is not told not to. `must_call_tool`: the answer is a call of one of
    `tools`, not text. `cut_to_budget`: the task's budget left less than the answer may take, so `max_tokens` is what it
    left.
    """

    model: str
    messages: Sequence[ChatMessage]
    max_tokens: int
    headers: Mapping[str, str] = field(default_factory=dict)
    output: OutputSchema | None = None
    schema_mode: SchemaMode = SchemaMode.NATIVE
    tools: Sequence[ToolSpec] = ()
    must_call_tool: bool = False
    stream: bool = True
    on_text: Callable[[str], None] | None = None
    silence_seconds: float = 60.0
    thinks: bool = False
    effort: str = ""
    end_user: str = ""
    at_vendor: bool = False
    dialect: Dialect = FULL
    cut_to_budget: bool = False

    def texts(self) -> Sequence[str]:
        """Returns the texts of the conversation, which a refusal may quote; the arguments of calls are JSON."""
        calls = [call for message in self.messages for call in message.tool_calls]
        arguments = [json.dumps(dict(call.arguments), ensure_ascii=False) for call in calls]
        return [*(message.content for message in self.messages), *arguments]

    def features(self) -> frozenset[Feature]:
        """Returns the features that the request uses, so that a server can refuse them."""
        used = {
            Feature.STREAMING: self.stream,
            Feature.STREAM_OPTIONS: self.stream,
            Feature.TOKEN_LIMIT_NAME: True,
            Feature.JSON_SCHEMA: self.output is not None and self.schema_mode is SchemaMode.NATIVE,
            Feature.FUNCTION: self.output is not None and self.schema_mode is SchemaMode.FUNCTION,
            Feature.TOOL_CHOICE: self.must_call_tool,
            Feature.SYSTEM_ROLE: any(message.role == "system" for message in self.messages),
            Feature.EFFORT: bool(self.effort),
            Feature.SUMMARY: self.thinks,
            Feature.END_USER: bool(self.end_user),
            Feature.STORE: not self.at_vendor,
        }
        return frozenset(feature for feature, present in used.items() if present and self.dialect.has(feature))


def ask_for_a_call(tools: Sequence[ToolSpec]) -> str:
    """Words the duty to call a tool, for models and servers that refuse a request which forces one."""
    return _CALL_A_TOOL.format(names=", ".join(tool.name for tool in tools))


class Finish(Enum):
    """The reason why the model stopped."""

    DONE = auto()
    LENGTH = auto()
    REFUSED = auto()
    CONTEXT_OVERFLOW = auto()


@dataclass(frozen=True)
class ProviderAnswer:
    """The answer of one attempt. `text` is the raw JSON if a schema was requested, in any mode.

    `tokens` is None if the provider gave no count. `cut_to_budget`: it could not be longer than a budget allowed.
    """

    text: str
    tokens: TokenCounts | None
    served_model: str
    finish: Finish = Finish.DONE
    tool_calls: tuple[ToolCall, ...] = ()
    cut_to_budget: bool = False


_FINISH_FAULTS = {Finish.REFUSED: FaultKind.REFUSED, Finish.CONTEXT_OVERFLOW: FaultKind.CONTEXT_OVERFLOW}


def require_usable(answer: ProviderAnswer) -> ProviderAnswer:
    """Returns the answer itself, also one that is cut off. Raises ProviderFault if it is refused or empty."""
    if answer.finish is Finish.CONTEXT_OVERFLOW and answer.text.strip():
        return replace(answer, finish=Finish.LENGTH)  # the window is full, and what was written is good
    kind = _FINISH_FAULTS.get(answer.finish)
    if kind is None and not answer.text.strip() and not answer.tool_calls:
        # Cut off without a word: thinking has used up all tokens.
        kind = FaultKind.TRUNCATED if answer.finish is Finish.LENGTH else FaultKind.EMPTY
    if kind is not None:
        raise ProviderFault(kind, "finish", tokens=answer.tokens, served_model=answer.served_model, text=answer.text)
    return answer


class ProviderAdapter(Protocol):
    """One provider. Belongs to one event loop."""

    def features(self, model: str) -> Collection[Feature]:
        """Returns the features that the protocol of this model's endpoint has."""

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        """Returns a usable answer. Raises ProviderFault for everything that can go wrong, except a cancellation."""

    async def aclose(self) -> None:
        """Closes its connections; calls under way end with a ProviderFault."""
