from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.llm.json_schema import output_schema, to_strict
from app.llm.providers.adapter import JsonObject


class Part(BaseModel):
    kind: Literal["a", "b"]
    score: float = Field(ge=0, le=1, description="How sure.")


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=80)]
    parts: list[Part] = Field(default_factory=list, max_length=5)
    best: Part | None = Field(default=None, description="The best one.")


def walk(value: JsonValue) -> list[JsonObject]:
    found = []
    if isinstance(value, dict):
        found.append(value)
        for part in value.values():
            found += walk(part)
    elif isinstance(value, list):
        for part in value:
            found += walk(part)
    return found


def test_every_object_is_closed_and_every_property_required() -> None:
    for part in walk(output_schema(Whole).schema):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert isinstance(part["properties"], dict)
            assert part["required"] == list(part["properties"])


def test_nothing_is_left_that_a_provider_refuses() -> None:
    refused = {"default", "minimum", "maximum", "minLength", "maxLength", "maxItems", "discriminator"}
    for part in walk(output_schema(Whole).schema):
        assert not refused & set(part)
        assert "$ref" not in part or len(part) == 1


def test_bounds_are_told_in_words() -> None:
    schema = output_schema(Part).schema
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["score"] == {"type": "number", "description": "How sure. (minimum 0, maximum 1)"}
    assert properties["kind"] == {"type": "string", "enum": ["a", "b"]}


def test_a_field_may_be_called_like_a_keyword() -> None:
    class Odd(BaseModel):
        title: str
        default: int
        format: str

    properties = output_schema(Odd).schema["properties"]
    assert isinstance(properties, dict)
    assert list(properties) == ["title", "default", "format"]


def test_the_name_is_one_that_providers_accept() -> None:
    class Größe(BaseModel):
        value: int

    assert output_schema(Größe).name == "Gr__e"


def test_a_schema_is_made_once() -> None:
    assert output_schema(Whole) is output_schema(Whole)


def test_free_keys_are_refused() -> None:
    class Free(BaseModel):
        numbers: dict[str, int]

    with pytest.raises(TypeError, match="free keys"):
        output_schema(Free)


def test_one_of_becomes_any_of() -> None:
    assert to_strict({"oneOf": [{"type": "string"}, {"type": "null"}]}) == {
        "anyOf": [{"type": "string"}, {"type": "null"}]
    }
