"""The seam between a provider's protocol (bodies and events, as pure functions) and the client that carries it.

Answers are read with plain indexing: a body of another shape raises KeyError, TypeError and the like, which the carrier
turns into one fault.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.llm.faults import FaultKind, InvalidOutput, ProviderFault, classify, describe
from app.llm.interface import ToolCall
from app.llm.pricing import TokenCounts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest
from app.llm.providers.sse import TextCollector


class AnswerStream(Protocol):
    """The parts of one streamed answer, put together as they come."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Adds one event. Raises ProviderFault for an error that comes inside the stream."""

    def finish(self) -> ProviderAnswer:
        """Returns the whole answer. Raises ProviderFault if the stream ended before the answer did."""


class WireFormat(Protocol):
    """One endpoint of one provider."""

    @property
    def path(self) -> str:
        """Returns the path below the base URL."""

    def to_body(self, request: ProviderRequest) -> JsonObject:
        """Converts the request to the body of the HTTP call."""

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        """Converts the body of an answer that was not streamed."""

    def open_stream(self, request: ProviderRequest, collector: TextCollector) -> AnswerStream:
        """Starts to assemble a streamed answer."""


@dataclass
class RawCall:
    """A tool call as the provider sent it; in a stream its parts grow piece by piece."""

    call_id: str = ""
    name: str = ""
    arguments: str = ""


def assemble(
    *,
    text: str,
    calls: Sequence[RawCall],
    finish: Finish,
    tokens: TokenCounts | None,
    served_model: str,
    request: ProviderRequest,
) -> ProviderAnswer:
    """Builds the answer. Raises InvalidOutput if the arguments of a tool call are not a JSON object."""
    tool_calls: list[ToolCall] = []
    if request.output is not None:
        text = calls[0].arguments if calls else text  # some models answer in text although a function was offered
    elif finish is Finish.DONE:  # the arguments of a cut-off answer are cut off too, which is a fault of its own
        for call in calls:
            arguments = _to_object(call.arguments)
            if arguments is None:
                problems = f"The arguments of {call.name} were not a JSON object."
                raise InvalidOutput(text=call.arguments, problems=problems, tokens=tokens, served_model=served_model)
            tool_calls.append(ToolCall(id=call.call_id, name=call.name, arguments=arguments))
    return ProviderAnswer(
        text=_storable(text), tokens=tokens, served_model=served_model, finish=finish, tool_calls=tuple(tool_calls)
    )


def _storable(text: str) -> str:
    """Removes NUL, and replaces halves of surrogate pairs by `?`: JSON can hold both, but the database neither."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _to_object(arguments: str) -> JsonObject | None:
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def stream_fault(error: Mapping[str, Any]) -> ProviderFault:
    """Builds the fault for an error after the answer had begun: its cost is unknown."""
    codes = (error.get("code"), error.get("type"))
    return ProviderFault(classify(None, codes=codes), describe(None, codes), maybe_billed=True)


def cut_off(tokens: TokenCounts | None = None) -> ProviderFault:
    """Builds the fault for a stream that ended early; with `tokens` its cost is known."""
    return ProviderFault(FaultKind.UNREACHABLE, "stream ended early", tokens=tokens, maybe_billed=tokens is None)
