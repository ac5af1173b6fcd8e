"""Schemas that the providers would refuse."""

from __future__ import annotations

import pytest

from app.simulator.dialect import Unacceptable
from app.simulator.prompt import Json
from app.simulator.strict import check_anthropic, check_openai

GOOD: Json = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/A"}, "n": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
    "required": ["a", "n"],
    "additionalProperties": False,
    "$defs": {"A": {"type": "object", "properties": {}, "additionalProperties": False}},
}


def test_good_schema_passes_both() -> None:
    check_openai(GOOD)
    check_anthropic(GOOD)


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"required": ["a"]},
        {"type": "array"},
        {"properties": {"a": {"$ref": "#/$defs/A", "description": "x"}, "n": {"type": "number"}}},
        {"properties": {"a": {"type": "string", "default": "x"}, "n": {"type": "number"}}},
        {"properties": {"a": {"type": "array", "items": {"type": "object"}}, "n": {"type": "number"}}},
    ],
)
def test_openai_refuses(change: Json) -> None:
    with pytest.raises(Unacceptable):
        check_openai({**GOOD, **change})


@pytest.mark.parametrize(
    "change",
    [{"additionalProperties": True}, {"properties": {"n": {"type": "number", "minimum": 0}}}],
)
def test_anthropic_refuses(change: Json) -> None:
    with pytest.raises(Unacceptable):
        check_anthropic({**GOOD, **change})
