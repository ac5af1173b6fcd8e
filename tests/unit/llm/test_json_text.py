from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.llm.json_text import json_objects, read_json


class Choice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    agent: str = Field(max_length=12)
    confidence: float = Field(ge=0, le=1)
    alternatives: list[str] = Field(default_factory=list, max_length=2)


PLAIN = '{"agent": "Code", "confidence": 0.95, "alternatives": []}'
WANTED = Choice(agent="Code", confidence=0.95)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"\n {PLAIN} \n",
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}```",
        f"Here is my choice:\n\n```json\n{PLAIN}\n```\nI hope that helps.",
        f"I choose {PLAIN} because it is code.",
        f"<think>\nCode or {{text}}? Maybe {{}}.\n</think>\n{PLAIN}",
        f"Code fits {{best}}.\n</think>\n\n{PLAIN}",
        f"{PLAIN}\n{PLAIN}",
        PLAIN.replace("0.95", "95"),
        PLAIN.replace("0.95", '"95%"'),
        PLAIN.replace("0.95", '"0.95"'),
        PLAIN.replace("[]", "null"),
        PLAIN.replace("}", ', "explanation": "It is code."}'),
        PLAIN.replace("0.95", "95").replace("}", ', "a": {"b": 1}}').replace("[]", "null"),
        PLAIN.replace("}", ",}"),
        PLAIN.replace('"', "'"),
        PLAIN.replace("[]", "None").replace(", ", ", // sure\n"),
        f"{{{PLAIN}}}",
        f'{{"agent": "Text", ...}} is wrong, so: {PLAIN}',
    ],
)
def test_what_models_write_around_and_into_their_json_changes_nothing(text: str) -> None:
    assert read_json(text, Choice) == WANTED


@pytest.mark.parametrize(
    ("found", "agent", "alternatives"),
    [
        ('{"agent": "A very long name", "confidence": 1}', "A very long ", []),
        ('{"agent": "A", "confidence": 1, "alternatives": ["B", "C", "D"]}', "A", ["B", "C"]),
        ('{"agent": 7, "confidence": 1, "alternatives": "B"}', "7", ["B"]),
    ],
)
def test_what_is_too_long_or_not_in_a_list_is_made_to_fit(found: str, agent: str, alternatives: list[str]) -> None:
    choice = read_json(found, Choice)
    assert (choice.agent, choice.alternatives) == (agent, alternatives)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON at all",
        "[]",
        "null",
        "{}",
        '{"agent": "Code"}',
        '{"agent": null, "confidence": 1}',
        '{"agent": "Code", "confidence": 950}',
        '{"agent": "Code", "confidence": -1}',
        '{"agent": "Code", "confidence": "high"}',
        '{"agent": "Co',
        '{"agent": "Code" "confidence": 1}',
        '{"agent": "Co"de", "confidence": 1}',
        '{"agent": "Code", "confidence": 1, "alternatives": [{"agent": "Text", "confidence": 1}',
        "{" * 5000,
        "{" * 5000 + PLAIN,
    ],
)
def test_what_has_no_clear_meaning_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read_json(text, Choice)


class Kind(StrEnum):
    CODE = "CodeAgent"
    LONG_TEXT = "long_text"
    ITS = "it's"


class Named(BaseModel):
    name: Literal["CodeAgent", "Unknown", "it's", "a-b", "ab"] = "Unknown"
    kind: Kind = Kind.CODE
    others: list[Literal["CodeAgent"]] = Field(default_factory=list)


@pytest.mark.parametrize("found", ["CodeAgent", "codeagent", " CodeAgent\n", "Code Agent", "code_agent", "CODE-AGENT"])
def test_a_name_in_another_spelling_is_that_name(found: str) -> None:
    named = read_json(json.dumps({"name": found, "kind": found, "others": [found]}), Named)
    assert named == Named(name="CodeAgent", kind=Kind.CODE, others=["CodeAgent"])


def test_names_with_quotes_and_marks_are_found() -> None:
    named = read_json('{"name": "It\'s", "kind": "Long Text"}', Named)
    assert (named.name, named.kind) == ("it's", Kind.LONG_TEXT)


@pytest.mark.parametrize("found", ["Code", "CodeAgents", "Agent Code", "", "A_B", "'CodeAgent'"])
def test_a_name_that_may_be_another_one_is_refused(found: str) -> None:
    with pytest.raises(ValidationError):
        read_json(json.dumps({"name": found}), Named)


def test_the_first_object_that_fits_counts_and_else_the_first_is_blamed() -> None:
    assert read_json(f'{{"note": 1}} {PLAIN}', Choice) == WANTED
    with pytest.raises(ValidationError) as caught:
        read_json('{"agent": "Code"} {"other": 1}', Choice)
    assert [problem["loc"] for problem in caught.value.errors()] == [("confidence",)]


def test_an_object_without_slips_counts_before_a_sketch_of_the_form() -> None:
    text = "The form is {agent_name: 'CodeAgent', confidence: 0.9}. My choice: "
    chosen = '{"reasoning": "", "agent_name": "ContentAgent", "confidence": 0.8, "alternatives": []}'
    assert [found["agent_name"] for found in json_objects(text + chosen)] == ["ContentAgent", "CodeAgent"]


def test_an_object_within_another_one_is_not_taken_for_the_answer() -> None:
    assert list(json_objects('a {"b": {"c": 1}} {"d": 2}')) == [{"b": {"c": 1}}, {"d": 2}]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["agent", "confidence", "alternatives", "x"]), JSON))
def test_any_object_is_read_or_refused(value: dict[str, Any]) -> None:
    try:
        choice = read_json(json.dumps(value), Choice)
    except ValidationError:
        return
    assert 0 <= choice.confidence <= 1
