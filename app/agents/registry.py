"""The agents of this worker: built in, from entry points, and from the setting AGENT_PLUGINS.

The registry is built once, at the start. Anything wrong with an agent stops the process with a ConfigurationError that
names the origin of the agent: a worker that silently lacks an agent would refuse that agent's tasks. The router is not
in the registry; its name and its word for "none of them" are reserved.
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
    """The agents by name, in the order of their registration. It does not change after it is made."""

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
        """Returns the agent. Raises AgentUnavailable if this worker does not have it."""
        agent = self._agents.get(name)
        if agent is None:
            known = ", ".join(sorted(self._agents)) or "none"
            raise AgentUnavailable(f"This worker has no agent named {name}; it has: {known}.")
        return agent


def build_registry(settings: AgentSettings) -> AgentRegistry:
    """Loads every agent. Raises ConfigurationError for an agent that cannot be imported, made or registered."""
    agents = [(f"built-in agent {make.__name__}", make()) for make in BUILT_IN]
    # Sorted: metadata comes in the order of the import path, and the order of agents is that in the router's prompt.
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
        raise ConfigurationError(f"{origin}: this is not a reference to an agent; write `module:attribute`.")
    # The loader of entry points, so that both ways to register an agent accept the same references.
    return cast("object", EntryPoint(name=attribute, value=reference, group=ENTRY_POINT_GROUP).load())


def _load(origin: str, load: Callable[[], object]) -> Agent:
    """Imports the attribute and, if it is a class or a function, calls it."""
    try:
        found = load()
        # Not `callable`: an agent may have a `__call__` of its own.
        candidate = found() if inspect.isclass(found) or inspect.isroutine(found) else found
        card = getattr(candidate, "card", None)
    except ConfigurationError:
        raise
    except Exception as error:  # the edge to foreign code, which may raise anything: name its origin
        raise ConfigurationError(f"{origin}: could not be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(card, AgentCard):
        raise ConfigurationError(f"{origin}: is not an agent; its `card` must be an AgentCard.")
    if not inspect.iscoroutinefunction(getattr(candidate, "run", None)):
        raise ConfigurationError(f"{origin}: is not an agent; `run` must be an async method.")
    return cast("Agent", candidate)
