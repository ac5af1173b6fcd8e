"""A worker of a later version: it has one more agent, and writes fields that this version does not know."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from app.agents import registry
from app.agents.base import GraphAgent
from app.agents.coding.graph import CodeAgent, build_graph
from app.domain.agent import AgentCard
from app.ports import RunUpdate
from app.storage import claims
from app.storage.writes import literal
from worker import assembly, runtime

NEWER_AGENT = "NewerAgent"
MARK = {"of": "a later version"}


class NewerAgent(CodeAgent):
    def __init__(self) -> None:
        card = AgentCard(name=NEWER_AGENT, agent_type="newer", description="Came later.", version="1", routable=False)
        GraphAgent.__init__(self, card, build_graph())


def become_newer() -> None:
    """Changes the worker that this process is about to become."""
    recorded = claims._recorded

    def record_more(update: RunUpdate) -> dict[str, Any]:
        more = {f"steps.{step.key}": literal({**step.model_dump(), "mark": MARK}) for step in update.steps}
        return {**recorded(update), **more, "mark": literal(MARK)}

    patch.object(claims, "_recorded", record_more).start()
    patch.object(registry, "BUILT_IN", (*registry.BUILT_IN, NewerAgent)).start()
    for module in (assembly, runtime):
        patch.object(module, "__version__", "99.0.0").start()
