"""The examples of docs/adding-an-agent.md run unchanged, outside the package, whichever way the agent is registered."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.errors import GraphRecursionError

from app.agents.base import Agent
from app.agents.peer.graph import PeerAgent
from app.agents.registry import AgentRegistry, build_registry
from app.agents.testing import MemoryJournal, ScriptedLLM, build_context, build_message
from app.domain.message import MessageRole
from app.llm.interface import ChatMessage, ToolCall
from app.settings import AgentSettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "adding-an-agent.md"
SMELLS = {"language": "Python", "smells": ["the name f", "no types"]}
ANSWER = "```python\ndef increment(number: int) -> int:\n    return number + 1\n```\n- Named the function."
CONVERSION = ToolCall("c1", "convert_length", {"value": 26.2, "unit": "mile", "wanted_unit": "kilometre"})
RESULT = ChatMessage("tool", "42.164813", tool_call_id="c1")
SENTENCE = "26.2 miles are 42.164813 kilometres."


def documented(language: str, number: int = 0) -> str:
    """Reads a block of code in that language from the page, counted from 0."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(blocks[number])


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes a folder on the import path that holds the documented agents and nothing else."""
    (tmp_path / "refactor_agent.py").write_text(documented("python"))
    (tmp_path / "unit_agent.py").write_text(documented("python", 2))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("refactor_agent", "unit_agent"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("outside")
async def test_the_documented_tests_pass() -> None:
    module: dict[str, Any] = {}
    exec(compile(documented("python", 1), str(DOCUMENT), "exec"), module)  # noqa: S102 - our own page is under test
    documented_tests = [value for name, value in module.items() if name.startswith("test_")]
    assert len(documented_tests) == 2
    for documented_test in documented_tests:
        await documented_test()


@pytest.fixture(params=["setting", "entry point"])
def registry(request: pytest.FixtureRequest, outside: Path) -> AgentRegistry:
    if request.param == "setting":
        reference = documented("sh").strip().removeprefix("AGENT_PLUGINS=")
        return build_registry(AgentSettings(plugins=(reference,)))
    info = outside / "refactor_agent-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: refactor-agent\nVersion: 1.0.0\n")
    entry_point = documented("toml").splitlines()[1].replace('"', "")
    (info / "entry_points.txt").write_text(f"[agent_orchestrator.agents]\n{entry_point}\n")
    return build_registry(AgentSettings())


async def test_the_documented_agent_answers(registry: AgentRegistry) -> None:
    llm = ScriptedLLM(SMELLS, ANSWER)
    output = await registry.get("RefactorAgent").run(build_context(llm, task="def f(a):\n  return a+1"))
    assert (output.agent_name, output.code_language, output.content) == ("RefactorAgent", "python", ANSWER)
    assert "- the name f\n- no types" in llm.calls[1].prompt


async def test_the_documented_agent_resumes_without_paying_again(registry: AgentRegistry) -> None:
    journal = MemoryJournal()
    agent = registry.get("RefactorAgent")
    first = await agent.run(build_context(ScriptedLLM(SMELLS, ANSWER), journal=journal))
    assert journal.flushed == ["find_smells#1"]
    again = ScriptedLLM()
    assert await agent.run(build_context(again, journal=journal.resumed())) == first
    assert again.calls == []


async def test_the_router_offers_it_without_an_edit(registry: AgentRegistry) -> None:
    llm = ScriptedLLM(
        {"reasoning": "Given code.", "agent_name": "RefactorAgent", "confidence": 0.9, "alternatives": []}
    )
    routing = await PeerAgent().route(build_context(llm, task="Refactor this", cards=registry.cards()))
    assert routing.agent_name == "RefactorAgent"
    assert "Restructures source code" in llm.calls[0].prompt


@pytest.mark.parametrize("name", ["refactor_agent.py", "unit_agent.py"])
def test_a_documented_module_knows_neither_api_nor_worker(outside: Path, name: str) -> None:
    imports = re.findall(r"^from (app\.\w+|worker)", (outside / name).read_text(), re.MULTILINE)
    assert set(imports) <= {"app.agents", "app.domain", "app.errors", "app.llm"}


@pytest.fixture
def unit_agent(outside: Path) -> Agent:
    """Builds the documented agent that is written with LangChain."""
    return build_registry(AgentSettings(plugins=("unit_agent:UnitAgent",))).get("UnitAgent")


async def test_the_documented_agent_of_langchain_answers_with_its_tools_and_the_history(unit_agent: Agent) -> None:
    history = [build_message(MessageRole.USER, "Hello"), build_message(MessageRole.ASSISTANT, "Good day")]
    llm = ScriptedLLM(CONVERSION, SENTENCE)
    output = await unit_agent.run(build_context(llm, task="How long is a marathon?", history=history))
    assert (output.agent_name, output.content, output.truncated) == ("UnitAgent", SENTENCE, False)
    first, second = llm.calls
    assert [message.role for message in first.messages] == ["system", "user", "assistant", "user"]
    assert [tool.name for tool in first.tools] == ["convert_length", "count_days"]
    assert second.messages[-1] == RESULT


async def test_the_documented_agent_of_langchain_counts_days(unit_agent: Agent) -> None:
    days = ToolCall("c1", "count_days", {"first": "2026-02-27", "last": "2026-03-01"})
    llm = ScriptedLLM(days, "It takes 2 days.")
    await unit_agent.run(build_context(llm, task="How long?"))
    assert llm.calls[1].messages[-1].content == "2"


async def test_the_documented_agent_of_langchain_pays_for_the_missing_call_alone(unit_agent: Agent) -> None:
    journal = MemoryJournal()
    first = await unit_agent.run(build_context(ScriptedLLM(CONVERSION, SENTENCE), journal=journal))
    assert len(journal.flushed) == 2
    resumed = ScriptedLLM()
    assert await unit_agent.run(build_context(resumed, journal=journal.resumed())) == first
    assert resumed.calls == []
    journal.forget(journal.recorded[1])
    resumed = ScriptedLLM(SENTENCE)
    assert await unit_agent.run(build_context(resumed, journal=journal.resumed())) == first
    assert [call.messages[-1] for call in resumed.calls] == [RESULT]


async def test_a_model_that_never_stops_calling_tools_reaches_the_documented_limit(unit_agent: Agent) -> None:
    llm = ScriptedLLM(*[CONVERSION] * 20)
    with pytest.raises(GraphRecursionError):
        await unit_agent.run(build_context(llm))
    assert len(llm.calls) == 10
