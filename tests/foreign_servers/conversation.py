"""The requests to every server: a question, a conversation with history, and a decision as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.agents.peer.classify import choice_schema
from app.llm.interface import ChatMessage

QUESTION = [ChatMessage("system", "You are brief."), ChatMessage("user", "Name the capital of Norway.")]
SECOND_TURN = [
    *QUESTION,
    ChatMessage("assistant", "Oslo is the capital of Norway."),
    ChatMessage("user", "And the capital of Sweden?"),
]
DECISION = [ChatMessage("system", "Give a structured answer."), QUESTION[1]]


ROUTING = choice_schema(("CodeAgent", "ContentAgent"))


class Decision(BaseModel):
    """An answer of the router's kind, with closed sets only: under a grammar even a nonsense model gives it."""

    model_config = ConfigDict(extra="forbid")

    city: Literal["Oslo", "Stockholm"]
    capital: bool
