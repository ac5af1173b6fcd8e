"""The choice of the earlier turns that an agent sees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.agents.history import CUT_MARK, LEFT_OUT, estimate_tokens, to_chat, to_turns, trim_history
from app.agents.testing import build_message
from app.domain.message import Message, MessageRole

MESSAGES = st.lists(
    st.builds(build_message, st.sampled_from(MessageRole), st.text(max_size=600)),
    max_size=8,
)


@given(MESSAGES, st.integers(min_value=0, max_value=400))
def test_the_limit_holds(messages: list[Message], max_tokens: int) -> None:
    assert sum(map(estimate_tokens, trim_history(messages, max_tokens=max_tokens))) <= max_tokens


@given(MESSAGES, st.integers(min_value=0, max_value=400))
def test_what_is_kept_is_the_end_of_the_conversation(messages: list[Message], max_tokens: int) -> None:
    kept = trim_history(messages, max_tokens=max_tokens)
    tail = messages[len(messages) - len(kept) :]
    assert list(kept[1:]) == tail[1:]
    if kept:
        assert tail[0].content.startswith(kept[0].content.removesuffix(CUT_MARK))
        assert kept[0].role is tail[0].role


def test_all_is_kept_when_it_fits() -> None:
    messages = [build_message(MessageRole.USER, "a"), build_message(MessageRole.ASSISTANT, "b")]
    assert trim_history(messages, max_tokens=100) == tuple(messages)


def test_a_long_newest_answer_is_cut_and_not_forgotten() -> None:
    (kept,) = trim_history([build_message(MessageRole.ASSISTANT, "word " * 1_000)], max_tokens=100)
    assert kept.content.startswith("word word")
    assert kept.content.endswith(CUT_MARK)


def test_zero_keeps_nothing() -> None:
    assert trim_history([build_message(MessageRole.USER, "a")], max_tokens=0) == ()


def test_a_prompt_never_begins_with_the_assistant() -> None:
    chat = to_chat(to_turns([build_message(MessageRole.ASSISTANT, "b", agent_name="CodeAgent")]))
    assert [(message.role, message.content) for message in chat] == [("user", LEFT_OUT), ("assistant", "b")]
