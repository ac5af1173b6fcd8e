"""The choice of the earlier turns that an agent sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.history import CUT_MARK, LEFT_OUT, message_tokens, to_chat, to_turns, trim_history
from app.agents.testing import build_message
from app.domain.message import Message, MessageRole

TEXTS = (
    st.text(max_size=600) | st.text(alphabet="漢字ไทย🙂é ", max_size=600) | st.text(alphabet="word ", max_size=2_000)
)
MESSAGES = st.lists(st.builds(build_message, st.sampled_from(MessageRole), TEXTS), max_size=8)
LIMITS = st.integers(min_value=0, max_value=400)


def ask(content: str) -> Message:
    return build_message(MessageRole.USER, content)


def answer(content: str) -> Message:
    return build_message(MessageRole.ASSISTANT, content, agent_name="ContentAgent")


def is_shortened(message: Message, original: Message) -> bool:
    head, mark, tail = message.content.partition(CUT_MARK)
    return bool(mark) and original.content.startswith(head) and original.content.endswith(tail)


@given(MESSAGES, LIMITS)
def test_the_limit_holds(messages: list[Message], max_tokens: int) -> None:
    assert sum(map(message_tokens, trim_history(messages, max_tokens=max_tokens))) <= max_tokens


@given(MESSAGES, LIMITS)
def test_what_is_kept_is_the_end_and_only_its_first_question_and_answer_are_shortened(
    messages: list[Message], max_tokens: int
) -> None:
    kept = list(trim_history(messages, max_tokens=max_tokens))
    second = next((at for at in range(1, len(kept)) if kept[at].role is MessageRole.USER), len(kept))
    whole = kept[second:]
    assert whole == messages[len(messages) - len(whole) :]
    for message in kept[:second]:
        assert message in messages or any(is_shortened(message, original) for original in messages)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), LIMITS)
def test_a_question_stays_with_its_answer(turns: list[tuple[str, str]], max_tokens: int) -> None:
    messages = [message for question, reply in turns for message in (ask(question), answer(reply))]
    kept = trim_history(messages, max_tokens=max_tokens)
    assert [message.role for message in kept] == [MessageRole.USER, MessageRole.ASSISTANT] * (len(kept) // 2)


def test_all_is_kept_when_it_fits() -> None:
    messages = [ask("a"), answer("b"), ask("c"), answer("d")]
    assert trim_history(messages, max_tokens=100) == tuple(messages)


def test_a_long_answer_keeps_its_question_its_beginning_and_its_end() -> None:
    question, reply = ask("Which laws?"), answer("FIRST " + "word " * 1_000 + "LAST")
    kept = trim_history([question, reply], max_tokens=100)
    assert kept[0] == question
    assert kept[1].content.startswith("FIRST word")
    assert kept[1].content.endswith("word LAST")
    assert CUT_MARK in kept[1].content
    assert message_tokens(kept[1]) > 80


def test_a_document_in_the_question_leaves_room_for_the_answer() -> None:
    kept = trim_history([ask("Summarise: " + "word " * 5_000 + "THE END"), answer("point " * 5_000)], max_tokens=400)
    assert kept[0].content.startswith("Summarise: word")
    assert kept[0].content.endswith("THE END")
    assert 150 <= message_tokens(kept[1]) <= 200


def test_of_an_older_pair_only_a_useful_part_is_kept() -> None:
    older, newer = [ask("old"), answer("word " * 1_000)], [ask("new"), answer("short")]
    cost = sum(map(message_tokens, newer))
    assert trim_history([*older, *newer], max_tokens=cost + 60) == tuple(newer)
    assert len(trim_history([*older, *newer], max_tokens=cost + 100)) == 4


def test_a_question_without_an_answer_is_shortened_like_an_answer() -> None:
    (kept,) = trim_history([ask("FIRST " + "word " * 1_000 + "LAST")], max_tokens=100)
    assert kept.content.startswith("FIRST")
    assert kept.content.endswith("LAST")


@pytest.mark.parametrize(
    ("text", "characters_per_token"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 10, 4),
        ("敏捷的棕色狐狸跳过懒狗。" * 10, 1),
        ("素早い茶色の狐がのろまな犬を飛び越える" * 10, 1),
        ("สุนัขจิ้งจอกสีน้ำตาล" * 10, 2.5),
        ("Быстрая коричневая лиса " * 10, 2.5),
    ],
)
def test_every_script_is_counted_as_what_it_costs(text: str, characters_per_token: float) -> None:
    assert message_tokens(ask(text)) == pytest.approx(len(text) / characters_per_token, rel=0.2)


def test_a_lone_surrogate_is_counted_and_cut() -> None:
    (kept,) = trim_history([ask("\ud800" * 1_000)], max_tokens=100)
    assert CUT_MARK in kept.content


def test_zero_keeps_nothing() -> None:
    assert trim_history([ask("a")], max_tokens=0) == ()


def test_a_prompt_never_begins_with_the_assistant() -> None:
    chat = to_chat(to_turns([answer("b")]))
    assert [(message.role, message.content) for message in chat] == [("user", LEFT_OUT), ("assistant", "b")]
