from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from app.llm.faults import InvalidOutput
from app.llm.interface import ChatMessage
from app.llm.plans import PlainPlan, StructuredPlan, without_fence
from app.llm.pricing import TokenCounts
from app.llm.providers.adapter import ProviderRequest, SchemaMode
from tests.unit.llm.doubles import answer


class Weather(BaseModel):
    city: str
    degrees: float = Field(ge=-90, le=60)


def plan() -> StructuredPlan[Weather]:
    return StructuredPlan([ChatMessage("user", "How warm is it?")], Weather, max_tokens=500)


def invalid(text: str = "{}") -> InvalidOutput:
    with pytest.raises(InvalidOutput) as caught:
        plan().accept(answer(text))
    return caught.value


def test_a_fitting_answer_is_parsed() -> None:
    assert plan().accept(answer('{"city": "Oslo", "degrees": -3}')) == Weather(city="Oslo", degrees=-3)


@pytest.mark.parametrize("text", ["{}", "", "null", "not json", '{"city": "Oslo", "degrees": 99}', '{"city": "Os'])
def test_an_answer_that_does_not_fit_keeps_its_tokens(text: str) -> None:
    assert invalid(text).tokens == TokenCounts(input=10, output=5)


def test_the_problems_name_fields_and_repeat_nothing_of_the_answer() -> None:
    fault = invalid('{"city": 7, "degrees": "secret"}')
    assert "city" in fault.problems
    assert "degrees" in fault.problems
    assert "secret" not in fault.problems
    assert "secret" not in str(fault)


def test_the_second_request_shows_the_answer_and_what_is_wrong_with_it() -> None:
    request = plan().next(invalid('{"city": "Oslo"}'), invalid=1)
    assert request is not None
    assert request.schema_mode is SchemaMode.NATIVE
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.messages[1].content == '{"city": "Oslo"}'
    assert "degrees: Field required" in request.messages[2].content


def test_the_third_request_asks_for_a_function() -> None:
    request = plan().next(invalid(), invalid=2)
    assert request is not None
    assert request.schema_mode is SchemaMode.FUNCTION
    assert len(request.messages) == 1


def test_there_is_no_fourth_request() -> None:
    assert plan().next(invalid(), invalid=3) is None


def test_a_plain_request_is_repeated_once() -> None:
    first = ProviderRequest(model="m", messages=(), max_tokens=1)
    plain = PlainPlan[Weather](first)
    assert plain.next(invalid(), invalid=1) is first
    assert plain.next(invalid(), invalid=2) is None
    assert plain.accept(answer()) is None


@pytest.mark.parametrize("text", ['{"a": 1}', '```json\n{"a": 1}\n```', '```\n{"a": 1}```', ' {"a": 1}\n'])
def test_a_code_fence_is_taken_off(text: str) -> None:
    assert without_fence(text) == '{"a": 1}'
