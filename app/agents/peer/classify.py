"""The node `classify_task`: one short structured call that names the agent for a task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, TypeGuard, get_args

from langgraph.runtime import Runtime
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from app.agents.base import AgentContext
from app.agents.history import Turn
from app.agents.peer import prompts
from app.agents.peer.state import UNKNOWN, AlternativeState, Classification, PeerState
from app.domain.agent import AgentCard
from app.domain.message import MessageRole
from app.errors import LLMOutputInvalid
from app.llm.interface import ChatMessage, ModelRole
from app.llm.json_text import validate_leniently
from app.tools.untrusted import enclose

# A task states its wish at its beginning or at its end; pasted documents and code are in between.
TASK_HEAD_CHARACTERS = 6_000
TASK_TAIL_CHARACTERS = 2_000
TURN_CHARACTERS = 400
TURNS = 6
# Two sentences and some names: in the languages that take the most tokens, three times what an answer needs.
ANSWER_TOKENS = 500


class AlternativeChoice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_name: str
    confidence: float = Field(ge=0, le=1)


class Choice(BaseModel):
    """The router's answer, still without the closed set of names, which `choice_schema` adds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reasoning: str = Field(description="One or two sentences for the user: why this agent.")
    agent_name: str
    confidence: float = Field(ge=0, le=1, description="Probability from 0 to 1 that agent_name is right.")
    alternatives: Sequence[AlternativeChoice]

    @model_validator(mode="before")
    @classmethod
    def _keep_the_decision(cls, found: Any) -> Any:
        """Leaves out alternatives that cannot be read, and a missing reason: the decision needs neither."""
        if not isinstance(found, dict):
            return found
        confidence, others = found.get("confidence"), found.get("alternatives")
        # The alternatives are in percent if the decision is: the 1 beside a 95 is 1 %.
        divisor = 100 if _is_number(confidence) and confidence > 1 else 1
        (alternative,) = get_args(cls.model_fields["alternatives"].annotation)
        listed = [_read(alternative, other, divisor) for other in others] if isinstance(others, list) else []
        return {
            **found,
            "reasoning": found.get("reasoning") or "",
            "confidence": _divided(confidence, divisor),
            "alternatives": [other for other in listed if other is not None],
        }


def _is_number(value: Any) -> TypeGuard[float]:
    """Checks whether the value can be a share or a percentage."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def _divided(confidence: Any, divisor: int) -> Any:
    return confidence / divisor if _is_number(confidence) else confidence


def _read(alternative: type[AlternativeChoice], found: Any, divisor: int) -> AlternativeChoice | None:
    if not isinstance(found, dict):
        return None
    try:
        return validate_leniently({**found, "confidence": _divided(found.get("confidence"), divisor)}, alternative)
    except ValidationError:
        return None


# Cached: building the pydantic models takes a while, and a process sees few sets of agents.
@lru_cache(maxsize=8)
def choice_schema(names: tuple[str, ...]) -> type[Choice]:
    """Builds `Choice` with the agents' names and `Unknown` as the only names that a model may give."""
    closed: Any = Literal[(*names, UNKNOWN)]
    alternative = create_model(
        "AlternativeAgent",
        __base__=AlternativeChoice,
        agent_name=(closed, Field(description="Name of the agent.")),
    )
    listed: Any = list[alternative]
    return create_model(
        "AgentChoice",
        __base__=Choice,
        agent_name=(closed, Field(description=f"Name of the agent, or {UNKNOWN} when none fits.")),
        alternatives=(listed, Field(description="Other agents that could do it, most likely first.")),
    )


async def classify_task(state: PeerState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    cards = [card for card in runtime.context.cards if card.routable]
    schema = choice_schema(tuple(card.name for card in cards))
    completion = await runtime.context.llm.complete(
        build_messages(state, cards), role=ModelRole.PEER, schema=schema, max_tokens=ANSWER_TOKENS
    )
    if completion.parsed is None:
        raise LLMOutputInvalid("The router's model gave no structured answer.", attempts=completion.attempts)
    return {"classification": to_state(completion.parsed)}


def to_state(choice: Choice) -> Classification:
    return Classification(
        reasoning=choice.reasoning,
        agent_name=choice.agent_name,
        confidence=choice.confidence,
        alternatives=[
            AlternativeState(agent_name=other.agent_name, confidence=other.confidence) for other in choice.alternatives
        ],
    )


def build_messages(state: PeerState, cards: Sequence[AgentCard]) -> list[ChatMessage]:
    agents = "\n".join(prompts.AGENT_LINE.format(name=card.name, description=card.description) for card in cards)
    # 10 more than head and tail, for the mark between them.
    task = enclose(_shortened(state["task"]), source="user", limit=TASK_HEAD_CHARACTERS + TASK_TAIL_CHARACTERS + 10)
    if state["history"]:
        content = prompts.TASK_AFTER_HISTORY.format(history=_conversation(state["history"]), task=task)
    else:
        content = prompts.TASK.format(task=task)
    return [ChatMessage("system", prompts.SYSTEM.format(agents=agents)), ChatMessage("user", content)]


def _conversation(history: Sequence[Turn]) -> str:
    lines = [f"{_author(turn)}: {turn['content'][:TURN_CHARACTERS]}" for turn in history[-TURNS:]]
    # 80 more per line, for the name of the author.
    return enclose("\n".join(lines), source="conversation", limit=TURNS * (TURN_CHARACTERS + 80))


def _author(turn: Turn) -> str:
    return "user" if turn["role"] == MessageRole.USER else turn["agent_name"] or "agent"


def _shortened(text: str) -> str:
    if len(text) <= TASK_HEAD_CHARACTERS + TASK_TAIL_CHARACTERS:
        return text
    return f"{text[:TASK_HEAD_CHARACTERS]}\n[…]\n{text[-TASK_TAIL_CHARACTERS:]}"
