"""The node `route_to_agent`: accepts the model's choice or fails the task with UNKNOWN_TASK_TYPE. No I/O.

It trusts neither the schema nor the journal: a recorded choice may come from a worker with other agents.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext
from app.agents.peer.state import UNKNOWN, Classification, PeerState
from app.errors import UnknownTaskType

ADVICE = "Say more exactly what you want to get, or name the agent in the field `agent`."


async def route_to_agent(state: PeerState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    context = runtime.context
    names = [card.name for card in context.cards if card.routable]
    return {"routing": accept(state["classification"], names=names, min_confidence=context.min_confidence)}


def accept(choice: Classification, *, names: Collection[str], min_confidence: float) -> Classification:
    """Returns the choice with those alternatives that exist and differ from it. Raises UnknownTaskType."""
    available = f"Available agents: {', '.join(sorted(names)) or 'none'}."
    chosen = choice["agent_name"]
    if chosen == UNKNOWN:
        raise UnknownTaskType(f"No agent fits this task. {available} {ADVICE}")
    if chosen not in names:
        raise UnknownTaskType(f"The router chose {chosen}, which this installation does not have. {available} {ADVICE}")
    if choice["confidence"] < min_confidence:
        raise UnknownTaskType(
            f"No agent fits this task well enough: {chosen} was nearest with a confidence of "
            f"{choice['confidence']:.2f}, and {min_confidence:.2f} is needed. {available} {ADVICE}"
        )
    alternatives = {
        other["agent_name"]: other
        for other in reversed(choice["alternatives"])  # of a name that comes twice the first, likelier one is kept
        if other["agent_name"] in names and other["agent_name"] != chosen
    }
    return Classification(
        reasoning=choice["reasoning"],
        agent_name=chosen,
        confidence=choice["confidence"],
        alternatives=sorted(alternatives.values(), key=lambda other: -other["confidence"]),
    )
