"""The origins of agents, and the mistakes that stop a start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.agents.registry import AgentRegistry, build_registry
from app.errors import AgentUnavailable, ConfigurationError
from app.settings import AgentSettings

# The router decides by the cards alone: a kind of task that none of them names has no home.
KINDS_OF_TASKS = {
    "ContentAgent": ("article", "translation", "extraction", "calculation", "small talk", "JSON", "questions", "poems"),
    "CodeAgent": ("code", "queries", "regular expressions", "configuration", "debugs", "ports", "questions"),
}
AGENT = """
from app.domain.agent import AgentCard, AgentOutput

class EchoAgent:
    card = AgentCard(name="{name}", agent_type="echo", description="Echoes.", version="1")

    async def run(self, context):
        return AgentOutput(agent_name="{name}", content=context.task.task)

instance = EchoAgent()

def make():
    return EchoAgent()

class Nested:
    agent = instance
"""
BAD = """
from app.domain.agent import AgentCard

number = 3

class Cardless:
    card = "EchoAgent"
    async def run(self, context): ...

class Synchronous:
    card = AgentCard(name="SyncAgent", agent_type="sync", description="Blocks.", version="1")
    def run(self, context): ...

def bad_card():
    return AgentCard(name="not a name", agent_type="x", description="x", version="1")

def explodes():
    raise RuntimeError("no licence found")
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes a folder of plugins on the import path, outside the package."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "echo_plugin.py").write_text(AGENT.format(name="EchoAgent"))
    (tmp_path / "bad_plugin.py").write_text(BAD)
    (tmp_path / "broken_plugin.py").write_text("import a_module_that_is_not_there")
    yield tmp_path
    for name in ("echo_plugin", "bad_plugin", "broken_plugin"):
        sys.modules.pop(name, None)


def add_entry_point(folder: Path, line: str) -> None:
    info = folder / "echo_distribution-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-distribution\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[agent_orchestrator.agents]\n{line}\n")


def names(registry: AgentRegistry) -> list[str]:
    return [card.name for card in registry.cards()]


def build(*plugins: str) -> AgentRegistry:
    return build_registry(AgentSettings(plugins=plugins))


def test_the_built_in_agents_are_there() -> None:
    registry = build()
    assert names(registry) == ["ContentAgent", "CodeAgent"]
    assert registry.get("CodeAgent").card.agent_type == "code"


def test_an_agent_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(AgentUnavailable, match="no agent named TaxAgent; it has: CodeAgent, ContentAgent"):
        build().get("TaxAgent")


@pytest.mark.parametrize("attribute", ["EchoAgent", "instance", "make", "Nested.agent"])
def test_a_plugin_is_an_agent_or_makes_one(plugins: Path, attribute: str) -> None:
    assert names(build(f"echo_plugin:{attribute}")) == ["ContentAgent", "CodeAgent", "EchoAgent"]


def test_an_entry_point_registers_an_agent(plugins: Path) -> None:
    add_entry_point(plugins, "echo = echo_plugin:EchoAgent")
    assert names(build()) == ["ContentAgent", "CodeAgent", "EchoAgent"]


def test_two_agents_of_one_name_stop_the_start_and_both_are_named(plugins: Path) -> None:
    add_entry_point(plugins, "echo = echo_plugin:EchoAgent")
    with pytest.raises(
        ConfigurationError,
        match=r"AGENT_PLUGINS: echo_plugin:make: an agent named EchoAgent is already registered by entry point echo",
    ):
        build("echo_plugin:make")


@pytest.mark.parametrize("name", ["PeerAgent", "Unknown"])
def test_names_of_the_router_are_reserved(plugins: Path, name: str) -> None:
    (plugins / "echo_plugin.py").write_text(AGENT.format(name=name))
    with pytest.raises(ConfigurationError, match=f"the agent name {name} is reserved"):
        build("echo_plugin:instance")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("echo_plugin", r"AGENT_PLUGINS: echo_plugin: this is not a reference to an agent; write `module:attribute`"),
        ("echo_plugin:", r"write `module:attribute`"),
        ("no_such_module:agent", r"could not be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("echo_plugin:missing", r"could not be loaded: AttributeError: .*missing"),
        ("broken_plugin:agent", r"ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("bad_plugin:explodes", r"could not be loaded: RuntimeError: no licence found"),
        ("bad_plugin:bad_card", r"could not be loaded: ValidationError"),
        ("bad_plugin:number", r"its `card` must be an AgentCard"),
        ("bad_plugin:Cardless", r"its `card` must be an AgentCard"),
        ("bad_plugin:Synchronous", r"`run` must be an async method"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_said_with_its_reference(plugins: Path, reference: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        build(reference)
    assert caught.value.message.startswith(f"AGENT_PLUGINS: {reference}")


@pytest.mark.parametrize(("agent", "kinds"), KINDS_OF_TASKS.items())
def test_the_cards_name_the_kinds_of_tasks_that_people_have(agent: str, kinds: tuple[str, ...]) -> None:
    description = build_registry(AgentSettings()).get(agent).card.description
    assert [kind for kind in kinds if kind not in description] == []
