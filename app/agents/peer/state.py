"""The state of the router's graph."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from app.agents.history import Turn

UNKNOWN = "Unknown"


class AlternativeState(TypedDict):
    agent_name: str
    confidence: float


class Classification(TypedDict):
    """The model's opinion as recorded; `agent_name` may be `Unknown`. It stays recorded if the task then fails."""

    reasoning: str
    agent_name: str
    confidence: float
    alternatives: list[AlternativeState]


class PeerState(TypedDict):
    """The state. `routing` has the fields of `Routing`, as `route_to_agent` accepted them."""

    task: str
    history: list[Turn]
    classification: NotRequired[Classification]
    routing: NotRequired[Classification]
