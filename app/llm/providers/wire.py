"""The seam between a provider's protocol (bodies and events, as pure functions) and the client that carries it.

A body of a shape that no reader expects raises KeyError, TypeError and the like, which the carrier makes one fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.interface import ToolCall
from app.llm.loose_json import read_object
from app.llm.pricing import TokenCounts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest
from app.llm.providers.text_collector import TextCollector, storable
from app.llm.refusal_kinds import classify
from app.llm.server_dialect import Feature
from app.llm.vendor_error import READ_CHARACTERS, VendorError, describe, outline, read_error


class AnswerStream(Protocol):
    """The parts of one streamed answer, put together as they come.

    `complete`: the reason why the model stopped has come, so that nothing of the answer is missing.
    """

    @property
    def complete(self) -> bool: ...

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Adds one event. Raises ProviderFault for an error that comes inside the stream."""

    def finish(self, *, ended: bool) -> ProviderAnswer:
        """Returns the whole answer. Raises ProviderFault if the stream ended before the answer did.

        `ended`: the server marked the end of the stream, whether or not it gave the reason why the model stopped.
        """


class WireFormat(Protocol):
    """One endpoint of one provider."""

    @property
    def path(self) -> str:
        """Returns the path below the base URL."""

    @property
    def features(self) -> frozenset[Feature]:
        """Returns the features that its bodies may have: no server can have refused another one."""

    def to_body(self, request: ProviderRequest) -> JsonObject:
        """Converts the request to the body of the HTTP call."""

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        """Converts the body of an answer that was not streamed. Raises ProviderFault for an error inside it."""

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
        for at, call in enumerate(calls):
            arguments = read_arguments(call.arguments)
            if arguments is None:
                problems = f"The arguments of {call.name} were not a JSON object."
                raise InvalidOutput(text=call.arguments, problems=problems, tokens=tokens, served_model=served_model)
            # A result refers to its call by the id, so a call without one gets it here.
            tool_calls.append(ToolCall(id=call.call_id or f"call_{at}", name=call.name, arguments=arguments))
    return ProviderAnswer(
        text=storable(text), tokens=tokens, served_model=served_model, finish=finish, tool_calls=tuple(tool_calls)
    )


def read_arguments(arguments: str) -> JsonObject | None:
    """Reads the arguments of a call; none at all are an empty object. Returns None if they are not a JSON object."""
    whole = arguments.strip() or "{}"
    read = read_object(whole)
    return read.value if read.end == len(whole) else None


def answered_fault(body: Mapping[str, Any], request: ProviderRequest, *, secrets: Sequence[str] = ()) -> ProviderFault:
    """Builds the fault for an error inside an answer of status 200, or in a stream.

    It is read like the status that it names. If it names a refusal nothing was billed; otherwise the cost is unknown.
    """
    error = read_error(body)
    kind = classify(error)
    if kind is FaultKind.INVALID:
        return rejected_output(error, request, secrets=secrets)
    return ProviderFault(
        kind,
        describe(error, prompt=request.texts(), secrets=secrets),
        outline=outline(error, prompt=request.texts(), secrets=secrets),
        maybe_billed=kind in (FaultKind.SERVER, FaultKind.TIMEOUT, FaultKind.REFUSED),
        refusal=error,
    )


def rejected_output(error: VendorError, request: ProviderRequest, *, secrets: Sequence[str]) -> InvalidOutput:
    """Builds the fault for an answer that the server itself found invalid, which was paid for and may be repaired."""
    return InvalidOutput(
        text=error.generation,
        problems=error.message[:READ_CHARACTERS] or "It could not be parsed.",
        tokens=None,
        served_model=request.model,
        detail=describe(error, prompt=request.texts(), secrets=secrets),
        outline=outline(error, prompt=request.texts(), secrets=secrets),
    )


def cut_off(tokens: TokenCounts | None = None) -> ProviderFault:
    """Builds the fault for a stream that ended early; with `tokens` its cost is known."""
    return ProviderFault(FaultKind.UNREACHABLE, "stream ended early", tokens=tokens, maybe_billed=tokens is None)
