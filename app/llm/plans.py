"""How an answer is asked for, and what happens when it does not fit: pure objects that make requests.

A plan gives the first request and, after an answer that is invalid, the next one, until it has no more ideas.
Structured output is asked for by the vendor's own feature, then once more with what was wrong, then as a function's
arguments. We validate the raw text ourselves: the SDKs' parsers lose the token counts of what they refuse.
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
    """`first` is complete but for model and headers, which belong to the hop."""

    @property
    def first(self) -> ProviderRequest: ...

    def next(self, fault: InvalidOutput, *, invalid: int) -> ProviderRequest | None:
        """The request after `invalid` invalid answers of this model (1 or more); None when none is left."""

    def accept(self, answer: ProviderAnswer) -> Result_co | None:
        """What the answer says. Raises InvalidOutput when it does not fit."""


class PlainPlan(Generic[Parsed]):
    """Text, or tool calls. Tool calls whose arguments are broken are asked for once more."""

    def __init__(self, first: ProviderRequest) -> None:
        self.first = first

    def next(self, fault: InvalidOutput, *, invalid: int) -> ProviderRequest | None:  # noqa: ARG002 the protocol's
        return self.first if invalid == 1 else None

    def accept(self, answer: ProviderAnswer) -> Parsed | None:  # noqa: ARG002 the protocol's
        return None


class StructuredPlan(Generic[Parsed]):
    """JSON that validates as `schema`."""

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
    """The text inside a Markdown code fence, where a model wrapped its JSON in one."""
    stripped = text.strip()
    if not (stripped.startswith(_FENCE) and stripped.endswith(_FENCE) and "\n" in stripped):
        return stripped
    return stripped.split("\n", 1)[1].removesuffix(_FENCE).strip()


def _list_problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:_PROBLEMS_SHOWN]
    return "\n".join(
        f"- {'.'.join(str(part) for part in problem['loc']) or 'answer'}: {problem['msg']}" for problem in problems
    )
