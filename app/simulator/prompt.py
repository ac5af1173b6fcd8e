"""A request and its answer, in the form that every provider's dialect is read into and written from.

Plain data: the answers know no provider, the dialects no topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

Json = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]
ANY_TOOL = "*"


@dataclass(frozen=True)
class Turn:
    role: Role
    text: str


@dataclass(frozen=True)
class ToolOffer:
    """A tool that the caller can run; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Json


@dataclass(frozen=True)
class Prompt:
    """A request to a model. `forced_tool` is a tool's name, or ANY_TOOL; the text must match `schema`.

    `stream_usage`: the stream shall end with the count of tokens, for a provider that leaves the choice.
    """

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[ToolOffer, ...] = ()
    schema: Json | None = None
    forced_tool: str | None = None
    max_tokens: int | None = None
    stream: bool = False
    stream_usage: bool = False

    @cached_property
    def system(self) -> str:
        return "\n".join(turn.text for turn in self.turns if turn.role == "system")

    @cached_property
    def asked(self) -> str:
        """Returns the last text of the user, in full."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @cached_property
    def tool_results(self) -> tuple[str, ...]:
        """Returns the results of tools since the user's last text, oldest first."""
        results: list[str] = []
        for turn in reversed(self.turns):
            if turn.role == "user":
                break
            if turn.role == "tool":
                results.append(turn.text)
        return tuple(reversed(results))

    @cached_property
    def input_tokens(self) -> int:
        # Rough sums, good enough for prices and limits: 120 characters for a schema, 12 for the frame of a turn.
        tools = sum(len(tool.description) + 120 for tool in self.tools)
        return count_tokens(sum(len(turn.text) + 12 for turn in self.turns) + tools)


class Finish(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    REFUSAL = "refusal"
    TOOLS = "tools"


@dataclass(frozen=True)
class ToolUse:
    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Answer:
    """The answer of the model; with `tool_uses` the text may be empty."""

    text: str
    tool_uses: tuple[ToolUse, ...] = ()
    finish: Finish = Finish.STOP

    @cached_property
    def output_tokens(self) -> int:
        calls = sum(len(use.name) + len(str(use.arguments)) for use in self.tool_uses)
        return count_tokens(len(self.text) + calls) if self.text or self.tool_uses else 0


def count_tokens(characters: int) -> int:
    """Estimates by the rule of thumb: four characters a token."""
    return (characters + 3) // 4
