"""The journalled node and the graph around it."""

from __future__ import annotations

import asyncio
import os
from typing import Any, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langsmith.utils import tracing_is_enabled

from app.agents.base import AgentContext, GraphAgent, hash_inputs, journaled, run_step
from app.agents.testing import MemoryJournal, ScriptedLLM, build_context
from app.domain.agent import AgentCard
from app.llm.interface import ModelRole

CARD = AgentCard(name="EchoAgent", agent_type="echo", description="Echoes.", version="1")


class EchoState(TypedDict):
    text: str
    echo: NotRequired[str]


async def echo(state: EchoState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    if state["text"] == "fail":
        raise ZeroDivisionError("a fault of the node")
    return {"echo": state["text"] * 2}


def echo_agent(*, flush: bool = True) -> GraphAgent[EchoState]:
    graph = StateGraph(EchoState, context_schema=AgentContext)
    graph.add_node("echo", journaled(echo, agent_name="EchoAgent", flush=flush))
    graph.add_node("again", journaled(echo, agent_name="EchoAgent", flush=flush))
    graph.add_edge(START, "echo")
    graph.add_edge("echo", "again")
    graph.add_edge("again", END)
    return GraphAgent(CARD, graph.compile())


async def test_a_node_that_runs_twice_has_two_keys() -> None:
    journal = MemoryJournal()
    await echo_agent().run_graph({"text": "a"}, build_context(ScriptedLLM(), journal=journal))
    assert journal.recorded == ["echo#1", "echo#2"]
    assert journal.flushed == ["echo#1", "echo#2"]


async def test_a_resumed_graph_runs_nothing_that_is_recorded() -> None:
    journal = MemoryJournal()
    agent = echo_agent()
    first = await agent.run_graph({"text": "a"}, build_context(ScriptedLLM(), journal=journal))
    resumed = journal.resumed()
    assert await agent.run_graph({"text": "a"}, build_context(ScriptedLLM(), journal=resumed)) == first
    assert resumed.recorded == []


async def test_a_node_whose_inputs_changed_runs_again() -> None:
    journal = MemoryJournal()
    agent = echo_agent()
    await agent.run_graph({"text": "a"}, build_context(ScriptedLLM(), journal=journal))
    resumed = journal.resumed()
    final = await agent.run_graph({"text": "b"}, build_context(ScriptedLLM(), journal=resumed))
    assert final["echo"] == "bb"
    assert resumed.recorded == ["echo#1", "echo#2"]


async def test_what_a_node_raises_reaches_the_caller_unwrapped_and_unrecorded() -> None:
    journal = MemoryJournal()
    with pytest.raises(ZeroDivisionError):
        await echo_agent().run_graph({"text": "fail"}, build_context(ScriptedLLM(), journal=journal))
    assert journal.recorded == []


async def test_flush_can_be_left_to_what_follows() -> None:
    journal = MemoryJournal()
    await echo_agent(flush=False).run_graph({"text": "a"}, build_context(ScriptedLLM(), journal=journal))
    assert journal.flushed == []


async def run_works(journal: MemoryJournal, *names: str) -> list[str]:
    """Runs a step for each name, side by side; returns the names for which work was done."""
    done: list[str] = []
    context = build_context(ScriptedLLM(), journal=journal)

    async def step(name: str) -> dict[str, Any]:
        async def work() -> dict[str, Any]:
            done.append(name)
            return {"name": name}

        return await run_step(context, work, node="work", inputs={"name": name}, found_by_inputs=True)

    outputs = await asyncio.gather(*map(step, names))
    assert [output["name"] for output in outputs] == list(names)
    return done


async def test_work_that_is_found_by_its_inputs_may_change_its_order() -> None:
    journal = MemoryJournal()
    assert await run_works(journal, "a", "b", "a") == ["a", "b", "a"]
    assert [key.rpartition("#")[2] for key in journal.recorded] == ["1", "1", "2"]
    assert await run_works(journal.resumed(), "b", "a", "c", "a", "a") == ["c", "a"]


async def test_a_step_belongs_to_the_agent_that_runs() -> None:
    journal = MemoryJournal()
    await run_works(journal, "a")
    assert journal.step(journal.recorded[0]).agent_name == "TestAgent"


async def test_steps_side_by_side_and_inside_one_another_keep_their_own_attempts() -> None:
    journal = MemoryJournal()
    context = build_context(ScriptedLLM(*["Hello."] * 4), journal=journal)

    async def ask() -> dict[str, Any]:
        await context.llm.chat([], role=ModelRole.PRIMARY)
        return {}

    async def ask_around_another_step() -> dict[str, Any]:
        await run_step(context, ask, node="inner", inputs={})
        return await ask()

    works = {"outer": ask_around_another_step, "beside": ask}
    await asyncio.gather(*(run_step(context, work, node=name, inputs={}) for name, work in works.items()))
    await ask()
    steps = [journal.step(key) for key in journal.recorded]
    assert {step.key: len(step.attempts) for step in steps} == {"inner#1": 1, "outer#1": 1, "beside#1": 1}


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_the_hash_does_not_depend_on_the_order_of_keys(state: dict[str, Any]) -> None:
    assert hash_inputs(state) == hash_inputs(dict(reversed(state.items())))


def test_the_hash_takes_any_text_and_refuses_what_is_not_json() -> None:
    assert hash_inputs({"text": "\ud800"}) != hash_inputs({"text": "?"})
    with pytest.raises(TypeError):
        hash_inputs({"text": object()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        hash_inputs({"number": float("nan")})


def test_nothing_is_sent_to_a_tracing_service_unless_the_environment_asks_for_it() -> None:
    if {"LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"} & os.environ.keys():
        pytest.skip("the environment of this test run sets it")
    assert not tracing_is_enabled()
