"""Earlier turns of a session: how many of them an agent sees, and how they stand in its state and its prompt.

Pure. Tokens are estimated as a quarter of the characters: exact counts would need the tokenizer of whichever model
happens to answer, and the limit is about cost, not about a context window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from app.domain.message import Message, MessageRole
from app.llm.interface import ChatMessage

CHARACTERS_PER_TOKEN = 4
OVERHEAD_TOKENS = 4
SMALLEST_EXCERPT_TOKENS = 64
CUT_MARK = " […]"
LEFT_OUT = "(The beginning of this conversation is left out.)"


class Turn(TypedDict):
    """One earlier message as it stands in a graph's state; `agent_name` is None for what the user said."""

    role: str
    content: str
    agent_name: str | None


def estimate_tokens(message: Message) -> int:
    return OVERHEAD_TOKENS + -(-len(message.content) // CHARACTERS_PER_TOKEN)


def trim_history(messages: Sequence[Message], *, max_tokens: int) -> tuple[Message, ...]:
    """The newest messages that fit in `max_tokens`, oldest first.

    The first that does not fit is cut at its end when a useful part of it fits, so that one long answer does not make
    an agent forget what "it" in the next question refers to.
    """
    kept: list[Message] = []
    left = max_tokens
    for message in reversed(messages):
        cost = estimate_tokens(message)
        if cost > left:
            if left >= SMALLEST_EXCERPT_TOKENS:
                kept.append(_cut(message, left))
            break
        kept.append(message)
        left -= cost
    return tuple(reversed(kept))


def _cut(message: Message, max_tokens: int) -> Message:
    length = (max_tokens - OVERHEAD_TOKENS) * CHARACTERS_PER_TOKEN - len(CUT_MARK)
    return message.model_copy(update={"content": message.content[:length] + CUT_MARK})


def to_turns(messages: Sequence[Message]) -> list[Turn]:
    return [
        Turn(role=message.role.value, content=message.content, agent_name=message.agent_name) for message in messages
    ]


def to_chat(turns: Sequence[Turn]) -> list[ChatMessage]:
    """The turns as prior messages of a prompt; the first is always the user's, because Anthropic refuses others."""
    messages = [
        ChatMessage("user" if turn["role"] == MessageRole.USER else "assistant", turn["content"]) for turn in turns
    ]
    if messages and messages[0].role != "user":
        messages.insert(0, ChatMessage("user", LEFT_OUT))
    return messages
