from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import BaseModel, Field

from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.interface import ChatMessage, ToolCall, ToolSpec
from app.llm.plans import PlainPlan, StructuredPlan
from app.llm.pricing import TokenCounts
from app.llm.providers.adapter import Finish, ProviderRequest, SchemaMode
from tests.unit.llm.doubles import answer


class Weather(BaseModel):
    city: str
    degrees: float = Field(ge=-90, le=60)


def plan() -> StructuredPlan[Weather]:
    request = ProviderRequest(model="", messages=(ChatMessage("user", "How warm is it?"),), max_tokens=500)
    return StructuredPlan(request, Weather)


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
    fault = invalid('{"city": {}, "degrees": "secret"}')
    assert "city" in fault.problems
    assert "degrees" in fault.problems
    assert "secret" not in fault.problems
    assert "secret" not in str(fault)


def test_the_second_request_shows_the_answer_and_what_is_wrong_with_it() -> None:
    request = plan().next(invalid('{"city": "Oslo"}'), invalid=1, mode=SchemaMode.NATIVE)
    assert request is not None
    assert request.schema_mode is SchemaMode.NATIVE
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.messages[1].content == '{"city": "Oslo"}'
    assert "degrees: Field required" in request.messages[2].content


@pytest.mark.parametrize("mode", [SchemaMode.NATIVE, SchemaMode.FUNCTION])
def test_the_third_request_asks_in_the_next_mode(mode: SchemaMode) -> None:
    request = plan().next(invalid(), invalid=2, mode=mode)
    assert request is not None
    assert request.schema_mode == mode + 1
    assert len(request.messages) == 1


def test_after_words_there_is_no_other_mode() -> None:
    assert plan().next(invalid(), invalid=2, mode=SchemaMode.PROMPT) is None


def test_there_is_no_fourth_request() -> None:
    assert plan().next(invalid(), invalid=3, mode=SchemaMode.FUNCTION) is None


def test_a_plain_request_is_repeated_once() -> None:
    first = ProviderRequest(model="m", messages=(), max_tokens=1)
    plain = PlainPlan[Weather](first)
    assert plain.next(invalid(), invalid=1, mode=SchemaMode.NATIVE) is first
    assert plain.next(invalid(), invalid=2, mode=SchemaMode.NATIVE) is None
    assert plain.accept(answer()) is None


def test_text_is_no_answer_if_a_tool_must_be_called() -> None:
    tool = ToolSpec("search", "", {})
    forced = PlainPlan[Weather](ProviderRequest("m", (), max_tokens=1, tools=(tool,), must_call_tool=True))
    assert forced.accept(replace(answer(""), tool_calls=(ToolCall("c1", "search", {}),))) is None
    with pytest.raises(InvalidOutput) as caught:
        forced.accept(answer("I would rather not."))
    assert caught.value.tokens == TokenCounts(input=10, output=5)
    assert forced.next(caught.value, invalid=1, mode=SchemaMode.NATIVE) is forced.first
    with pytest.raises(ProviderFault) as cut:
        forced.accept(replace(answer("I would rat"), finish=Finish.LENGTH))
    assert cut.value.kind is FaultKind.TRUNCATED


def test_a_cut_off_answer_that_fits_is_good_and_another_one_is_no_case_for_a_repair() -> None:
    assert plan().accept(replace(answer('{"city": "Oslo", "degrees": 1} and'), finish=Finish.LENGTH)).city == "Oslo"
    with pytest.raises(ProviderFault) as caught:
        plan().accept(replace(answer('{"city": "Os'), finish=Finish.LENGTH))
    assert (caught.value.kind, caught.value.tokens) == (FaultKind.TRUNCATED, TokenCounts(input=10, output=5))


def test_a_text_goes_on_after_what_was_written_but_a_turn_with_tools_does_not() -> None:
    first = ProviderRequest(model="m", messages=(ChatMessage("user", "Write."),), max_tokens=1, on_text=print)
    following = PlainPlan[Weather](first).go_on(answer("Once upon"))
    assert following is not None
    assert [message.content for message in following.messages][:2] == ["Write.", "Once upon"]
    assert following.messages[-1].role == "user"
    assert PlainPlan[Weather](replace(first, tools=(ToolSpec("t", "", {}),))).go_on(answer("Once upon")) is None
    assert plan().go_on(answer("{")) is None
