"""The earlier turns of a session: the choice of those that an agent sees, and their form in its state and prompt.

Pure. Tokens are estimated as a quarter of the characters: an exact count would need the tokenizer of the model that
happens to answer, and the limit is about cost, not about a context window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from app.domain.message import Message, MessageRole
from app.llm.interface import ChatMessage

CHARACTERS_PER_TOKEN = 4
OVERHEAD_TOKENS = 4  # the role and the separators of a message
SMALLEST_EXCERPT_TOKENS = 64  # some 240 characters: a shorter piece of an answer explains nothing
CUT_MARK = " […]"
LEFT_OUT = "(The beginning of this conversation is left out.)"


class Turn(TypedDict):
    """One earlier message in the form of a graph's state; `agent_name` is None for a message of the user."""

    role: str
    content: str
    agent_name: str | None


def estimate_tokens(message: Message) -> int:
    return OVERHEAD_TOKENS + -(-len(message.content) // CHARACTERS_PER_TOKEN)


def trim_history(messages: Sequence[Message], *, max_tokens: int) -> tuple[Message, ...]:
    """Returns the newest messages that fit in `max_tokens`, oldest first.

    The first message that does not fit is cut at its end if a useful part of it fits: after one long answer an agent
    still has to know what "it" in the next question refers to.
    """
    kept: list[Message] = []
    left = max_tokens
    for message in reversed(messages):
        cost = estimate_tokens(message)
        if cost > left:
            if left >= SMALLEST_EXCERPT_TOKENS:
                kept.append(_cut(message, left))
            break  # also if an older, shorter message would fit: a conversation with a gap misleads the model
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
    """Builds the prior messages of a prompt from the turns; the first is always the user's."""
    messages = [
        ChatMessage("user" if turn["role"] == MessageRole.USER else "assistant", turn["content"]) for turn in turns
    ]
    # Trimming can leave an answer in front. Anthropic rejects a conversation that begins with the assistant.
    if messages and messages[0].role != "user":
        messages.insert(0, ChatMessage("user", LEFT_OUT))
    return messages
