"""The plan of the requests for one answer: pure objects that build requests.

A plan builds the first request and, after an invalid answer, the next one, until there is none left. Structured output
is requested by the provider's own feature, then once more with the list of problems, then as a function's arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from app.llm.faults import InvalidOutput
from app.llm.interface import ChatMessage, Parsed
from app.llm.json_schema import output_schema
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest, SchemaMode

_REPAIR = "That answer does not fit the schema:\n{problems}\nAnswer again with one JSON object that fits, nothing else."
_PROBLEMS_SHOWN = 10
_FENCE = "```"

Result_co = TypeVar("Result_co", bound=BaseModel, covariant=True)


class Plan(Protocol[Result_co]):
    """The requests for one answer. `first` is complete except for model and headers, which belong to the hop."""

    @property
    def first(self) -> ProviderRequest: ...

    def next(self, fault: InvalidOutput, *, invalid: int) -> ProviderRequest | None:
        """Builds the request after `invalid` invalid answers of this model (1 or more); None if none is left."""

    def accept(self, answer: ProviderAnswer) -> Result_co | None:
        """Parses the answer. Raises InvalidOutput if it does not fit."""


class PlainPlan(Generic[Parsed]):
    """A plan for text or tool calls. Tool calls with broken arguments are requested once more."""

    def __init__(self, first: ProviderRequest) -> None:
        self.first = first

    def next(self, fault: InvalidOutput, *, invalid: int) -> ProviderRequest | None:  # noqa: ARG002 the protocol's
        return self.first if invalid == 1 else None

    def accept(self, answer: ProviderAnswer) -> Parsed | None:  # noqa: ARG002 the protocol's
        return None


class StructuredPlan(Generic[Parsed]):
    """A plan for JSON that validates as `schema`."""

    def __init__(self, messages: Sequence[ChatMessage], schema: type[Parsed], *, max_tokens: int) -> None:
        self._schema = schema
        self.first = ProviderRequest(
            model="", messages=tuple(messages), max_tokens=max_tokens, output=output_schema(schema)
        )

    def next(self, fault: InvalidOutput, *, invalid: int) -> ProviderRequest | None:
        if invalid == 1:
            repair = (
                ChatMessage(role="assistant", content=fault.text),
                ChatMessage(role="user", content=_REPAIR.format(problems=fault.problems)),
            )
            return replace(self.first, messages=(*self.first.messages, *repair))
        if invalid == 2:
            return replace(self.first, schema_mode=SchemaMode.FUNCTION)
        return None

    def accept(self, answer: ProviderAnswer) -> Parsed:
        # Our own validation of the raw text: the parsers of langchain and of the SDKs raise, and lose the token counts
        # of the answer that they refuse (langchain #35041).
        try:
            return self._schema.model_validate_json(without_fence(answer.text))
        except ValidationError as error:
            raise InvalidOutput(
                text=answer.text,
                problems=_list_problems(error),
                tokens=answer.tokens,
                served_model=answer.served_model,
            ) from None  # the validation error quotes the answer


def without_fence(text: str) -> str:
    """Removes the Markdown code fence in which some models wrap their JSON."""
    stripped = text.strip()
    if not (stripped.startswith(_FENCE) and stripped.endswith(_FENCE) and "\n" in stripped):
        return stripped
    return stripped.split("\n", 1)[1].removesuffix(_FENCE).strip()


def _list_problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:_PROBLEMS_SHOWN]
    return "\n".join(
        f"- {'.'.join(str(part) for part in problem['loc']) or 'answer'}: {problem['msg']}" for problem in problems
    )
