"""The chat model on the gateway, as LangChain's own agents, chains and tools use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from app.agents.base import AgentContext, GraphAgent, journaled, run_step
from app.agents.testing import CALL_USAGE, MemoryJournal, ScriptedLLM, build_context
from app.domain.agent import AgentCard, CutOff
from app.errors import LLMUnavailable
from app.llm.interface import ChatMessage, Completion, ModelRole, ToolCall, ToolSpec

ADDITION = ToolCall("c1", "add", {"left": 1, "right": 2})
ADD = ToolSpec(
    name="add",
    description="Adds two numbers.",
    parameters={
        "type": "object",
        "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
        "required": ["left", "right"],
    },
)
HALF = {"type": "function", "function": {"name": "halve", "description": "Halves.", "parameters": {"type": "object"}}}


class City(BaseModel):
    """The city that was asked for."""

    name: str = Field(min_length=2)


def add(left: int, right: int) -> int:
    """Adds two numbers."""
    return left + right


def model_of(llm: ScriptedLLM, journal: MemoryJournal | None = None) -> BaseChatModel:
    return build_context(llm, journal=journal).chat_model(ModelRole.CODE)


async def sent(*messages: BaseMessage) -> Sequence[ChatMessage]:
    """Returns the messages as the gateway gets them."""
    llm = ScriptedLLM("Good.")
    await model_of(llm).ainvoke(list(messages))
    return llm.calls[0].messages


async def test_an_answer_has_its_text_its_tokens_and_its_model() -> None:
    llm = ScriptedLLM("Hello.")
    answer = await model_of(llm).ainvoke("Hi.")
    assert (answer.content, answer.tool_calls) == ("Hello.", [])
    assert answer.usage_metadata == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert answer.response_metadata == {"model_name": "scripted", "finish_reason": "stop"}
    assert (llm.calls[0].role, llm.calls[0].tools) == (ModelRole.CODE, ())


async def test_every_kind_of_message_reaches_the_gateway() -> None:
    call = {"name": "add", "args": {"left": 1, "right": 2}, "id": "c1", "type": "tool_call"}
    messages = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "What is "}, "1 + 2?"]),
        AIMessage([{"type": "text", "text": "I add."}, call], tool_calls=[call]),
        ToolMessage("3", tool_call_id="c1"),
    ]
    assert list(await sent(*messages)) == [
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "What is 1 + 2?"),
        ChatMessage("assistant", "I add.", tool_calls=(ADDITION,)),
        ChatMessage("tool", "3", tool_call_id="c1"),
    ]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            HumanMessage([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
            "HumanMessage .*image",
        ),
        (ToolMessage([{"type": "audio", "base64": "AA=="}], tool_call_id="c1"), "ToolMessage .*'audio'"),
        (HumanMessage([{"type": "tool_call", "name": "add", "args": {}, "id": "c1"}]), "HumanMessage .*'tool_call'"),
        (FunctionMessage(content="3", name="add"), "A FunctionMessage cannot be sent .* Send SystemMessage"),
        (RemoveMessage(id="1"), "A RemoveMessage cannot be sent"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_message_that_no_model_would_get_is_refused_by_name(message: BaseMessage, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        await sent(message)


@pytest.mark.parametrize("given", [add, tool(add), ADD.parameters])
async def test_tools_of_every_form_become_the_same_offer(given: Any) -> None:
    described = {"title": "add", "description": "Adds two numbers.", **given} if isinstance(given, Mapping) else given
    llm = ScriptedLLM(ADDITION)
    answer = await model_of(llm).bind_tools([described]).ainvoke("What is 1 + 2?")
    assert llm.calls[0].tools == (ADD,)
    assert answer.tool_calls == [{"name": "add", "args": {"left": 1, "right": 2}, "id": "c1", "type": "tool_call"}]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "offered", "must_call"),
    [
        (None, ["add", "halve"], False),
        ("auto", ["add", "halve"], False),
        ("none", [], False),
        ("any", ["add", "halve"], True),
        ("required", ["add", "halve"], True),
        (True, ["add", "halve"], True),
        ("halve", ["halve"], True),
        ({"type": "function", "function": {"name": "halve"}}, ["halve"], True),
        ({"type": "function", "name": "halve"}, ["halve"], True),
        ({"type": "any"}, ["add", "halve"], True),
    ],
)
async def test_the_choice_of_a_tool_is_kept(choice: Any, offered: list[str], must_call: bool) -> None:
    llm = ScriptedLLM(ToolCall("c1", "halve", {}) if must_call else "Nothing to do.")
    await model_of(llm).bind_tools([add, HALF], tool_choice=choice).ainvoke("Hi.")
    assert ([spec.name for spec in llm.calls[0].tools], llm.calls[0].must_call) == (offered, must_call)


@pytest.mark.parametrize(
    ("bind", "error", "told"),
    [
        (lambda model: model.bind_tools([add], tool_choice="subtract"), ValueError, "'subtract'.*: add. Name one"),
        (lambda model: model.bind_tools([], tool_choice="any"), ValueError, "'any'.*: none"),
        (lambda model: model.bind_tools([{"type": "web_search"}]), ValueError, "'web_search' runs at one vendor"),
        (lambda model: model.bind_tools([add], temperature=0, top_p=1), TypeError, r"temperature, top_p\. It takes"),
    ],
)
def test_a_tool_or_an_option_that_the_gateway_lacks_is_refused_when_it_is_bound(
    bind: Callable[[BaseChatModel], Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        bind(model_of(ScriptedLLM()))


async def test_an_option_is_refused_at_the_call_and_strict_has_no_effect() -> None:
    llm = ScriptedLLM("Good.")
    with pytest.raises(TypeError, match="response_format"):
        await model_of(llm).ainvoke("Hi.", response_format={"type": "json_object"})
    await model_of(llm).bind_tools([add], strict=True).ainvoke("Hi.")
    assert llm.calls[0].tools == (ADD,)


def test_a_synchronous_call_names_the_other_one() -> None:
    with pytest.raises(NotImplementedError, match="`ainvoke`"):
        model_of(ScriptedLLM()).invoke("Hi.")


async def test_a_stream_is_one_piece() -> None:
    pieces = [piece async for piece in model_of(ScriptedLLM("A long answer.")).astream("Hi.")]
    assert [piece.content for piece in pieces if piece.content] == ["A long answer."]


@pytest.mark.parametrize(
    ("stop", "text"),
    [(["\n"], "one"), (["three", "two"], "one\n"), (["four"], "one\ntwo\nthree"), ([""], "one\ntwo\nthree")],
)
async def test_the_text_ends_before_the_first_stop_sequence(stop: list[str], text: str) -> None:
    answer = await model_of(ScriptedLLM("one\ntwo\nthree")).ainvoke("Count.", stop=stop)
    assert (answer.content, answer.response_metadata["finish_reason"]) == (text, "stop")


class CutOffLLM(ScriptedLLM):
    """A scripted model whose answers are cut off after a text and a call."""

    async def with_tools(self, *args: Any, **options: Any) -> Completion[BaseModel]:
        return replace(await super().with_tools(*args, **options), tool_calls=(ADDITION,), cut_off=CutOff.BUDGET)


async def test_a_cut_off_answer_is_marked_unless_it_was_to_stop_before() -> None:
    model = model_of(CutOffLLM("one two", "one two")).bind_tools([add])
    cut_off = await model.ainvoke("Count.")
    assert (cut_off.response_metadata["finish_reason"], len(cut_off.tool_calls)) == ("length", 1)
    assert cut_off.response_metadata["cut_off"] == CutOff.BUDGET
    stopped = await model.ainvoke("Count.", stop=["two"])
    assert (stopped.response_metadata["finish_reason"], stopped.tool_calls) == ("stop", [])
    assert "cut_off" not in stopped.response_metadata


async def test_structured_output_is_a_tool_that_must_be_called() -> None:
    llm = ScriptedLLM(ToolCall("c1", "City", {"name": "Oslo"}), ToolCall("c2", "City", {"name": "O"}))
    structured: Any = model_of(llm).with_structured_output(City, include_raw=True)
    assert (await structured.ainvoke("Which city?"))["parsed"] == City(name="Oslo")
    assert (await structured.ainvoke("And that one?"))["parsing_error"] is not None
    assert ([spec.name for spec in llm.calls[0].tools], llm.calls[0].must_call) == (["City"], True)


async def test_an_agent_of_langchain_answers_in_a_schema() -> None:
    llm = ScriptedLLM(ADDITION, ToolCall("c2", "City", {"name": "Oslo"}))
    graph: Any = create_agent(model_of(llm), tools=[add], system_prompt="Be brief.", response_format=City)
    final = await graph.ainvoke({"messages": [("user", "Which city?")]})
    assert final["structured_response"] == City(name="Oslo")
    assert [call.must_call for call in llm.calls] == [True, True]
    assert llm.calls[1].messages[-1] == ChatMessage("tool", "3", tool_call_id="c1")


async def test_a_call_is_a_step_with_its_attempts_and_its_answer() -> None:
    journal = MemoryJournal()
    await model_of(ScriptedLLM(ADDITION), journal).bind_tools([add]).ainvoke("What is 1 + 2?")
    (key,) = journal.flushed
    step = journal.step(key)
    assert key == f"model_{step.input_hash[:12]}#1"
    assert (step.node, step.agent_name, step.usage, len(step.attempts)) == ("model", "TestAgent", CALL_USAGE, 1)
    assert step.output["content"] == ""
    assert step.output["tool_calls"] == [{"id": "c1", "name": "add", "arguments": {"left": 1, "right": 2}}]


async def test_an_answer_that_is_found_again_is_the_same_message_and_costs_nothing() -> None:
    journal = MemoryJournal()
    first = await model_of(ScriptedLLM(ADDITION), journal).bind_tools([add]).ainvoke("What is 1 + 2?")
    again = ScriptedLLM()
    found = await model_of(again, journal.resumed()).bind_tools([add]).ainvoke("What is 1 + 2?")
    assert (found, again.calls) == (first, [])


@pytest.mark.parametrize(
    "differently",
    [
        lambda model: model.ainvoke("Who?"),
        lambda model: model.ainvoke([SystemMessage("Hi.")]),
        lambda model: model.ainvoke("Hi.", stop=["."]),
        lambda model: model.bind_tools([add]).ainvoke("Hi."),
    ],
)
async def test_a_call_with_other_inputs_is_another_step(differently: Callable[[BaseChatModel], Any]) -> None:
    journal = MemoryJournal()
    await model_of(ScriptedLLM("one"), journal).ainvoke("Hi.")
    again = ScriptedLLM("two")
    await differently(model_of(again, journal.resumed()))
    assert len(again.calls) == 1


async def test_another_role_is_another_step() -> None:
    journal = MemoryJournal()
    await model_of(ScriptedLLM("one"), journal).ainvoke("Hi.")
    again = ScriptedLLM("two")
    await build_context(again, journal=journal.resumed()).chat_model(ModelRole.CONTENT).ainvoke("Hi.")
    assert len(again.calls) == 1


async def test_the_same_call_twice_is_two_steps_and_two_messages() -> None:
    journal = MemoryJournal()
    model = model_of(ScriptedLLM("one", "two"), journal)
    first, second = await model.ainvoke("Hi."), await model.ainvoke("Hi.")
    assert [answer.content for answer in (first, second)] == ["one", "two"]
    assert first.id != second.id
    assert [key.partition("#")[2] for key in journal.recorded] == ["1", "2"]


async def test_calls_side_by_side_find_their_own_answers_in_any_order() -> None:
    journal = MemoryJournal()
    numbers: list[LanguageModelInput] = [str(number) for number in range(8)]
    first = await model_of(ScriptedLLM(*[lambda call: call.prompt] * 8), journal).abatch(numbers)
    assert [answer.content for answer in first] == numbers
    for key in journal.recorded[:2]:
        journal.forget(key)
    again = ScriptedLLM(*[lambda call: call.prompt] * 2)
    found = await model_of(again, journal.resumed()).abatch(numbers[::-1])
    assert [answer.content for answer in found] == numbers[::-1]
    assert len(again.calls) == 2


async def test_a_call_that_fails_leaves_a_step_and_its_error_reaches_the_caller() -> None:
    journal = MemoryJournal()
    graph: Any = create_agent(model_of(ScriptedLLM(LLMUnavailable("down")), journal), tools=[add])
    with pytest.raises(LLMUnavailable):
        await graph.ainvoke({"messages": [("user", "Hi.")]})
    (key,) = journal.recorded
    assert key.endswith("#1~0")
    assert journal.step(key).output == {"error": "LLM_UNAVAILABLE"}


async def test_a_call_inside_a_node_takes_only_its_own_attempts() -> None:
    async def think(state: MessagesState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
        context = runtime.context
        model = context.chat_model(ModelRole.PRIMARY)
        await model.ainvoke("One.")
        await model._agenerate([HumanMessage("Two.")])  # in this very context: `ainvoke` has an asyncio task of its own
        await context.llm.chat([ChatMessage("user", "Three.")], role=ModelRole.PRIMARY)
        return {"messages": []}

    graph = StateGraph(MessagesState, context_schema=AgentContext)
    graph.add_node("think", journaled(think, agent_name="ThinkingAgent"))
    graph.add_edge(START, "think")
    graph.add_edge("think", END)
    journal = MemoryJournal()
    context = build_context(ScriptedLLM("1", "2", "3"), journal=journal)
    card = AgentCard(name="ThinkingAgent", agent_type="thinking", description="Thinks.", version="1")
    await GraphAgent(card, graph.compile()).run_graph({"messages": []}, context)
    assert [key.partition("_")[0] for key in journal.recorded] == ["model", "model", "think#1"]
    assert [len(journal.step(key).attempts) for key in journal.recorded] == [1, 1, 1]


async def test_a_tool_whose_work_is_a_step_runs_once() -> None:
    ran: list[str] = []

    async def rate(currency: str, runtime: ToolRuntime[AgentContext]) -> str:
        """Reads the rate of a currency."""

        async def work() -> dict[str, Any]:
            ran.append(currency)
            return {"rate": len(ran)}

        found = await run_step(runtime.context, work, node="rate", inputs={"currency": currency}, found_by_inputs=True)
        return json.dumps(found)

    async def ask(llm: ScriptedLLM, journal: MemoryJournal) -> list[BaseMessage]:
        context = build_context(llm, journal=journal)
        model = context.chat_model(ModelRole.PRIMARY)
        graph: Any = create_agent(model, tools=[rate], context_schema=AgentContext)
        final: dict[str, list[BaseMessage]] = await graph.ainvoke({"messages": [("user", "Rates?")]}, context=context)
        return final["messages"][1:]

    both = [ToolCall("c1", "rate", {"currency": "EUR"}), ToolCall("c2", "rate", {"currency": "NOK"})]
    journal = MemoryJournal()
    first = await ask(ScriptedLLM(both, "Both are low."), journal)
    again = ScriptedLLM()
    found = await ask(again, journal.resumed())
    assert [message.content for message in found] == [message.content for message in first]
    assert (sorted(ran), again.calls) == (["EUR", "NOK"], [])


async def test_the_cache_of_langchain_answers_no_call() -> None:
    set_llm_cache(InMemoryCache())
    try:
        llm = ScriptedLLM("one", "two")
        assert [(await model_of(llm).ainvoke("Hi.")).content for _ in range(2)] == ["one", "two"]
    finally:
        set_llm_cache(None)
