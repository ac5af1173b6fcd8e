"""What the router's graph carries from node to node."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from app.agents.history import Turn

UNKNOWN = "Unknown"


class AlternativeState(TypedDict):
    agent_name: str
    confidence: float


class Classification(TypedDict):
    """The model's opinion, as recorded; `agent_name` may be `Unknown`. Stays readable when the task then fails."""

    reasoning: str
    agent_name: str
    confidence: float
    alternatives: list[AlternativeState]


class PeerState(TypedDict):
    """`routing` is what `route_to_agent` accepted: the fields of `Routing`."""

    task: str
    history: list[Turn]
    classification: NotRequired[Classification]
    routing: NotRequired[Classification]
