"""Which agents this worker has: built in, from entry points, from the setting AGENT_PLUGINS.

Built once at start. Whatever is wrong with an agent stops the process with a ConfigurationError that names its origin:
a worker that silently lacks an agent would refuse that agent's tasks. The router is no agent of the registry; its name
and its word for "none of them" are reserved.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from app.agents.base import Agent
from app.agents.coding.graph import CodeAgent
from app.agents.content.graph import ContentAgent
from app.agents.peer.graph import PEER_AGENT
from app.agents.peer.state import UNKNOWN
from app.domain.agent import AgentCard
from app.errors import AgentUnavailable, ConfigurationError
from app.settings import AgentSettings

ENTRY_POINT_GROUP = "agent_orchestrator.agents"
RESERVED_NAMES = frozenset({PEER_AGENT, UNKNOWN})

# A built-in agent is registered by one line here.
BUILT_IN: tuple[Callable[[], Agent], ...] = (
    ContentAgent,
    CodeAgent,
)


class AgentRegistry:
    """The agents by name, in the order in which they were registered. Fixed once made."""

    def __init__(self, agents: Iterable[tuple[str, Agent]]) -> None:
        """Takes (origin, agent) pairs. Raises ConfigurationError for a name that is taken or reserved."""
        self._agents: dict[str, Agent] = {}
        origins: dict[str, str] = {}
        for origin, agent in agents:
            name = agent.card.name
            if name in RESERVED_NAMES:
                raise ConfigurationError(f"{origin}: the agent name {name} is reserved; give the agent another name.")
            if name in origins:
                raise ConfigurationError(
                    f"{origin}: an agent named {name} is already registered by {origins[name]}; rename or remove one."
                )
            self._agents[name] = agent
            origins[name] = origin

    def cards(self) -> tuple[AgentCard, ...]:
        return tuple(agent.card for agent in self._agents.values())

    def get(self, name: str) -> Agent:
        """Raises AgentUnavailable."""
        agent = self._agents.get(name)
        if agent is None:
            known = ", ".join(sorted(self._agents)) or "none"
            raise AgentUnavailable(f"This worker has no agent named {name}; it has: {known}.")
        return agent


def build_registry(settings: AgentSettings) -> AgentRegistry:
    """Loads every agent. Raises ConfigurationError for one that cannot be imported, made or registered."""
    agents = [(f"built-in agent {make.__name__}", make()) for make in BUILT_IN]
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value)):
        origin = f"entry point {entry_point.name} = {entry_point.value}"
        agents.append((origin, _load(origin, entry_point.load)))
    for reference in settings.plugins:
        origin = f"AGENT_PLUGINS: {reference}"
        agents.append((origin, _load(origin, partial(_import, origin, reference))))
    return AgentRegistry(agents)


def _import(origin: str, reference: str) -> object:
    module_name, separator, attribute = reference.partition(":")
    if not (separator and module_name and attribute):
        raise ConfigurationError(f"{origin}: write `module:attribute`.")
    return cast("object", EntryPoint(name=attribute, value=reference, group=ENTRY_POINT_GROUP).load())


def _load(origin: str, load: Callable[[], object]) -> Agent:
    """Imports the attribute and, when it is a class or a function, calls it."""
    try:
        found = load()
        candidate = found() if inspect.isclass(found) or inspect.isroutine(found) else found
        card = getattr(candidate, "card", None)
    except ConfigurationError:
        raise
    except Exception as error:  # the edge to foreign code, which may raise anything: say whose it is
        raise ConfigurationError(f"{origin}: could not be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(card, AgentCard):
        raise ConfigurationError(f"{origin}: is no agent: its `card` has to be an AgentCard.")
    if not inspect.iscoroutinefunction(getattr(candidate, "run", None)):
        raise ConfigurationError(f"{origin}: is no agent: `run` has to be an async method.")
    return cast("Agent", candidate)
