"""CodeAgent from a task to its output."""

from __future__ import annotations

import pytest

from app.agents.coding.graph import CodeAgent
from app.agents.testing import MemoryJournal, ScriptedLLM, build_context, build_message
from app.domain.message import MessageRole
from app.errors import LLMRefused
from app.llm.interface import ModelRole


async def test_code_comes_with_its_language() -> None:
    llm = ScriptedLLM("Here:\n```py\nprint(1)\n```")
    output = await CodeAgent().run(build_context(llm, task="Print 1"))
    assert (output.agent_name, output.code_language) == ("CodeAgent", "python")
    assert output.content == "Here:\n```py\nprint(1)\n```"
    assert llm.calls[0].role is ModelRole.CODE
    assert [message.role for message in llm.calls[0].messages] == ["system", "user"]


async def test_the_language_that_the_task_asks_for_counts() -> None:
    llm = ScriptedLLM("```js\nlet a = 1\nlet b = 2\n```\n```ts\nlet a: number\n```")
    output = await CodeAgent().run(build_context(llm, task="Port this JavaScript to TypeScript: let a = 1"))
    assert output.code_language == "typescript"


async def test_the_inputs_of_the_step_stay_as_they_were_in_version_0_1() -> None:
    """A run that another version began is resumed during a rollout: other inputs would pay for the answer again."""
    journal = MemoryJournal()
    await CodeAgent().run(build_context(ScriptedLLM("x"), task="Sort", journal=journal))
    assert journal.step("generate#1").input_hash.startswith("7f8d6a452282cabb")


async def test_an_answer_without_code_has_no_language() -> None:
    assert (await CodeAgent().run(build_context(ScriptedLLM("It depends.")))).code_language is None


async def test_earlier_turns_stand_before_the_task() -> None:
    history = [
        build_message(MessageRole.USER, "Write f"),
        build_message(MessageRole.ASSISTANT, "def f(): ...", agent_name="CodeAgent"),
    ]
    llm = ScriptedLLM("ok")
    await CodeAgent().run(build_context(llm, task="Now g", history=history))
    assert [(message.role, message.content) for message in llm.calls[0].messages[1:]] == [
        ("user", "Write f"),
        ("assistant", "def f(): ..."),
        ("user", "Now g"),
    ]


async def test_a_recorded_answer_is_not_paid_again() -> None:
    journal = MemoryJournal()
    agent = CodeAgent()
    first = await agent.run(build_context(ScriptedLLM("```go\nx\n```"), journal=journal))
    again = ScriptedLLM()
    assert await agent.run(build_context(again, journal=journal.resumed())) == first
    assert again.calls == []


async def test_another_history_is_answered_anew() -> None:
    journal = MemoryJournal()
    agent = CodeAgent()
    await agent.run(build_context(ScriptedLLM("one"), journal=journal))
    llm = ScriptedLLM("two")
    context = build_context(llm, journal=journal.resumed(), history=[build_message(MessageRole.USER, "before")])
    assert (await agent.run(context)).content == "two"


async def test_the_step_waits_for_the_finish() -> None:
    journal = MemoryJournal()
    await CodeAgent().run(build_context(ScriptedLLM("ok"), journal=journal))
    assert (journal.recorded, journal.flushed) == (["generate#1"], [])
    assert journal.step("generate#1").usage.cost_microusd == 30


async def test_a_failed_call_is_recorded_apart_and_comes_through_as_it_is() -> None:
    failure = LLMRefused("the model refused")
    journal = MemoryJournal()
    with pytest.raises(LLMRefused) as caught:
        await CodeAgent().run(build_context(ScriptedLLM(failure), journal=journal))
    assert caught.value is failure
    assert journal.recorded == ["generate#1~0"]
    assert journal.step("generate#1~0").output == {"error": "LLM_REFUSED"}


async def test_one_agent_serves_many_tasks() -> None:
    agent = CodeAgent()
    outputs = [await agent.run(build_context(ScriptedLLM(text))) for text in ("a", "b")]
    assert [output.content for output in outputs] == ["a", "b"]
