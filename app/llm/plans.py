"""The plan of the requests for one answer: pure objects that build requests.

A plan builds the first request and, after an invalid answer, the next one, until there is none left. Structured output
is requested by the provider's own feature, then once more with the list of problems, then in the next mode: as a
function's arguments, or in words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.interface import ChatMessage, Parsed
from app.llm.json_schema import output_schema
from app.llm.json_text import read_json
from app.llm.providers.adapter import Finish, ProviderAnswer, ProviderRequest, SchemaMode

_REPAIR = "That answer does not fit the schema:\n{problems}\nAnswer again with one JSON object that fits, nothing else."
_GO_ON = (
    "Your answer was cut off. Go on exactly where it ends, in the middle of the word, line or code block if need be. "
    "Repeat nothing, and write no introduction."
)
_PROBLEMS_SHOWN = 10

Result_co = TypeVar("Result_co", bound=BaseModel, covariant=True)


class Plan(Protocol[Result_co]):
    """The requests for one answer. `first` is complete except for model and headers, which belong to the hop."""

    @property
    def first(self) -> ProviderRequest: ...

    def next(self, fault: InvalidOutput, *, invalid: int, mode: SchemaMode) -> ProviderRequest | None:
        """Builds the request after `invalid` invalid answers of this model (1 or more); None if none is left.

        `mode` is the one in which the invalid answer was requested.
        """

    def accept(self, answer: ProviderAnswer) -> Result_co | None:
        """Parses the answer. Raises InvalidOutput if it does not fit, ProviderFault if it is cut off and useless so."""

    def go_on(self, so_far: ProviderAnswer) -> ProviderRequest | None:
        """Builds the request for the rest of an accepted answer that was cut off; None if it cannot be continued."""


class PlainPlan(Generic[Parsed]):
    """A plan for text or tool calls. Tool calls that have broken arguments, or are missing, are requested once more."""

    def __init__(self, first: ProviderRequest) -> None:
        self.first = first

    def next(self, fault: InvalidOutput, *, invalid: int, mode: SchemaMode) -> ProviderRequest | None:  # noqa: ARG002 the protocol's
        return self.first if invalid == 1 else None

    def accept(self, answer: ProviderAnswer) -> Parsed | None:
        if not self.first.must_call_tool or answer.tool_calls:
            return None
        if answer.finish is Finish.LENGTH:
            raise truncated(answer)
        raise InvalidOutput(
            text=answer.text,
            problems="The model wrote text instead of calling a tool.",
            tokens=answer.tokens,
            served_model=answer.served_model,
        )

    def go_on(self, so_far: ProviderAnswer) -> ProviderRequest | None:
        # The rest of a turn of a tool loop could be a tool call, which cannot be joined with text.
        if self.first.tools:
            return None
        begun = (ChatMessage(role="assistant", content=so_far.text), ChatMessage(role="user", content=_GO_ON))
        return replace(self.first, messages=(*self.first.messages, *begun), on_text=None)


class StructuredPlan(Generic[Parsed]):
    """A plan for JSON that validates as `schema`."""

    def __init__(self, request: ProviderRequest, schema: type[Parsed]) -> None:
        self._schema = schema
        self.first = replace(request, output=output_schema(schema))

    def next(self, fault: InvalidOutput, *, invalid: int, mode: SchemaMode) -> ProviderRequest | None:
        if invalid == 1:
            repair = (
                ChatMessage(role="assistant", content=fault.text or "(nothing)"),
                ChatMessage(role="user", content=_REPAIR.format(problems=fault.problems)),
            )
            return replace(self.first, messages=(*self.first.messages, *repair))
        if invalid == 2 and mode is not SchemaMode.PROMPT:
            return replace(self.first, schema_mode=SchemaMode(mode + 1))
        return None

    def accept(self, answer: ProviderAnswer) -> Parsed:
        # Our own validation of the raw text: the parsers of langchain and of the SDKs raise, and lose the token counts
        # of the answer that they refuse (langchain #35041).
        try:
            return read_json(answer.text, self._schema)
        except ValidationError as error:
            if answer.finish is Finish.LENGTH:
                raise truncated(answer) from None
            raise InvalidOutput(
                text=answer.text,
                problems=_list_problems(error),
                tokens=answer.tokens,
                served_model=answer.served_model,
            ) from None  # the validation error quotes the answer

    def go_on(self, so_far: ProviderAnswer) -> ProviderRequest | None:  # noqa: ARG002 the protocol's
        return None  # what was accepted is whole


def truncated(answer: ProviderAnswer) -> ProviderFault:
    """Builds the fault for an answer that is cut off and of no use so."""
    return ProviderFault(
        FaultKind.TRUNCATED, "finish", tokens=answer.tokens, served_model=answer.served_model, text=answer.text
    )


def _list_problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:_PROBLEMS_SHOWN]
    return "\n".join(
        f"- {'.'.join(str(part) for part in problem['loc']) or 'answer'}: {problem['msg']}" for problem in problems
    )
