"""Values for schemas, known and unknown."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from app.agents.content.plan import ArticlePlan
from app.agents.peer.classify import choice_schema
from app.simulator.answers.schema import Filler
from app.simulator.prompt import Json, Prompt, Turn


class Kind(StrEnum):
    PLAIN = "plain"
    FANCY = "fancy"


class Leaf(BaseModel):
    kind: Kind
    score: Annotated[float, Field(ge=0.1, lt=0.4)]
    note: str | None


class Tree(BaseModel):
    leaves: list[Leaf] = Field(min_length=2, max_length=3)
    nested: dict[str, int]
    fixed: Literal["yes"]
    code: Annotated[str, Field(max_length=20)]
    name: Annotated[str, Field(min_length=40)]
    count: Annotated[int, Field(ge=7)]
    ratio: Annotated[float, Field(gt=0.9)]
    children: list[Tree]


def fill(schema: Json, task: str, *, unsure: bool = False) -> Json:
    prompt = Prompt("m", (Turn("user", task),))
    value: Json = Filler(prompt, schema, write=lambda: "The text.", unsure=unsure).fill()
    return value


@pytest.mark.parametrize("model", [Leaf, ArticlePlan, choice_schema(("CodeAgent", "ContentAgent"))])
def test_value_is_valid(model: type[BaseModel]) -> None:
    model.model_validate(fill(model.model_json_schema(), "Write an article about bees"))


@given(st.text(max_size=200))
def test_value_is_valid_for_any_task(task: str) -> None:
    schema = choice_schema(("CodeAgent", "ContentAgent"))
    schema.model_validate(fill(schema.model_json_schema(), task))


@pytest.mark.parametrize("task", ["What is 2+2?", "Write a haiku about rain", "Translate 'Good morning' into German"])
def test_task_that_needs_no_facts_is_planned_without_a_search(task: str) -> None:
    plan = fill(ArticlePlan.model_json_schema(), task)
    assert plan["queries"] == []
    assert len(plan["outline"]) == 1


def test_recursive_schema_ends() -> None:
    value = fill(Tree.model_json_schema(), "Write an article about bees")
    assert len(value["leaves"]) == 2
    assert value["fixed"] == "yes"
    assert value["count"] == 7
    assert 0.1 <= value["leaves"][0]["score"] < 0.4
    assert value["ratio"] > 0.9
    assert len(value["name"]) >= 40


def test_router_fields_belong_together() -> None:
    schema = choice_schema(("CodeAgent", "ContentAgent")).model_json_schema()
    value = fill(schema, "Write a Rust program")
    assert value["agent_name"] == "CodeAgent"
    assert value["alternatives"][0]["agent_name"] == "ContentAgent"
    assert "CodeAgent" in value["reasoning"]
    assert fill(schema, "Write a Rust program", unsure=True)["confidence"] < 0.5


def test_queries_are_about_the_topic() -> None:
    value = fill(ArticlePlan.model_json_schema(), "Write an article about sim-injection gardening")
    assert 2 <= len(value["queries"]) <= 4
    assert all("sim-injection gardening" in query for query in value["queries"])


def test_fiction_needs_no_search() -> None:
    assert fill(ArticlePlan.model_json_schema(), "Write a poem about bees")["queries"] == []


def test_language_is_the_one_of_the_task() -> None:
    schema = {"type": "object", "properties": {"code_language": {"type": "string"}}}
    assert fill(schema, "Port this function from Python to Go") == {"code_language": "go"}
