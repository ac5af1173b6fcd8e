"""The doubles for authors of agents: no process needs them, and they need no test framework."""

from __future__ import annotations

import pytest

from app.agents.testing import ManualClock, ScriptedLLM
from app.errors import LLMOutputInvalid
from app.llm.interface import ChatMessage, ModelRole, ToolCall, ToolSpec

MESSAGES = [ChatMessage("user", "Find it.")]
SEARCH = ToolSpec(name="search", description="Searches.", parameters={"type": "object"})
CALLS = (ToolCall("c1", "search", {"query": "tides"}), ToolCall("c2", "search", {"query": "moon"}))


def test_both_times_of_the_clock_move_together() -> None:
    clock = ManualClock()
    before, began_at = clock.now(), clock.monotonic()
    clock.advance(2.5)
    assert (clock.now() - before).total_seconds() == clock.monotonic() - began_at == 2.5


async def test_a_call_beyond_the_script_fails_with_its_number() -> None:
    llm = ScriptedLLM("one")
    await llm.chat([ChatMessage("user", "first")], role=ModelRole.PRIMARY)
    with pytest.raises(AssertionError, match=r"no reply left for call 2 \(role primary\)"):
        await llm.chat([ChatMessage("user", "second")], role=ModelRole.PRIMARY)


async def test_a_reply_may_be_one_or_more_tool_calls() -> None:
    llm = ScriptedLLM(CALLS[0], CALLS, lambda _: CALLS[1], "Found.")
    answers = [await llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[SEARCH]) for _ in range(4)]
    assert [answer.tool_calls for answer in answers] == [CALLS[:1], CALLS, CALLS[1:], ()]
    assert [answer.text for answer in answers] == ["", "", "", "Found."]


async def test_text_is_no_answer_where_a_tool_must_be_called() -> None:
    llm = ScriptedLLM(CALLS[0], "Found.")
    await llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[SEARCH], must_call=True)
    with pytest.raises(LLMOutputInvalid):
        await llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[SEARCH], must_call=True)
    assert [call.must_call for call in llm.calls] == [True, True]


async def test_a_tool_call_in_reply_to_a_call_without_tools_fails_with_its_number() -> None:
    llm = ScriptedLLM(CALLS[0])
    with pytest.raises(AssertionError, match=r"reply to call 1 is a tool call, but the call offers no tools"):
        await llm.chat(MESSAGES, role=ModelRole.PRIMARY)
