"""The earlier turns of a session: the choice of those that an agent sees, and their form in its state and prompt.

Pure. Tokens are estimated: an exact count would need the tokenizer of the model that happens to answer, and the limit
is about cost, not about a context window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TypedDict

from app.domain.message import Message, MessageRole
from app.llm.interface import ChatMessage
from app.llm.token_estimate import estimate_tokens

OVERHEAD_TOKENS = 4  # the role and the separators of a message
SMALLEST_EXCERPT_TOKENS = 64  # some 240 characters: a shorter piece of an answer explains nothing
CUT_MARK = "\n[…]\n"
LEFT_OUT = "(The beginning of this conversation is left out.)"


class Turn(TypedDict):
    """One earlier message in the form of a graph's state; `agent_name` is None for a message of the user."""

    role: str
    content: str
    agent_name: str | None


def message_tokens(message: Message) -> int:
    """Estimates the tokens that the message takes in a prompt."""
    return OVERHEAD_TOKENS + estimate_tokens(message.content)


def trim_history(messages: Sequence[Message], *, max_tokens: int) -> tuple[Message, ...]:
    """Returns the newest questions with their answers that fit in `max_tokens`, oldest first.

    Of the first pair that does not fit, the question stays and the answer is shortened in its middle, if a useful part
    of it fits: people refer to what stood first and to what stood last.
    """
    kept: list[Message] = []
    left = max_tokens
    for exchange in reversed(list(_exchanges(messages))):
        fitting = exchange if _tokens(exchange) <= left else _shorten_exchange(exchange, left)
        kept[:0] = fitting
        left -= _tokens(fitting)
        if fitting is not exchange:
            break  # also if an older, shorter one would fit: a conversation with a gap misleads the model
    return tuple(kept)


def _exchanges(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Yields each question with the answers to it; a question without an answer is alone."""
    exchange: list[Message] = []
    for message in messages:
        if exchange and message.role is MessageRole.USER:
            yield exchange
            exchange = []
        exchange.append(message)
    if exchange:
        yield exchange


def _shorten_exchange(exchange: list[Message], max_tokens: int) -> list[Message]:
    """Shortens the last answer, or the question if it is alone; returns nothing if no useful part of it fits."""
    question, answer = exchange[0], exchange[-1]
    if answer is question:
        return _shorten(question, max_tokens)
    # Half is kept for the answer: a document that was pasted into the question must not push it out.
    asked = _shorten(question, max_tokens - min(message_tokens(answer), max_tokens // 2))
    answered = _shorten(answer, max_tokens - _tokens(asked))
    return [*asked, *answered] if asked and answered else []


def _shorten(message: Message, max_tokens: int) -> list[Message]:
    """Cuts the middle out of the message if it is too long; returns nothing if too little of it would stay."""
    if message_tokens(message) <= max_tokens:
        return [message]
    if max_tokens < SMALLEST_EXCERPT_TOKENS:
        return []
    content = message.content
    room = max_tokens - OVERHEAD_TOKENS
    # The most characters of each end that fit; more of them never cost less.
    each = bisect_right(range(len(content) // 2), room, key=lambda size: estimate_tokens(_ends(content, size))) - 1
    return [message.model_copy(update={"content": _ends(content, each)})]


def _ends(content: str, size: int) -> str:
    return content[:size] + CUT_MARK + content[len(content) - size :]


def _tokens(messages: Sequence[Message]) -> int:
    return sum(map(message_tokens, messages))


def to_turns(messages: Sequence[Message]) -> list[Turn]:
    return [
        Turn(role=message.role.value, content=message.content, agent_name=message.agent_name) for message in messages
    ]


def to_chat(turns: Sequence[Turn]) -> list[ChatMessage]:
    """Builds the prior messages of a prompt from the turns; the first is always the user's."""
    messages = [
        ChatMessage("user" if turn["role"] == MessageRole.USER else "assistant", turn["content"]) for turn in turns
    ]
    # A history that an earlier version trimmed can begin with an answer, which Anthropic rejects.
    if messages and messages[0].role != "user":
        messages.insert(0, ChatMessage("user", LEFT_OUT))
    return messages
