"""The short text of a result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.summary import SUMMARY_CHARACTERS, summarise
from app.domain.agent import AgentOutput


def summary(content: str, *, code_language: str | None = None) -> str:
    return summarise(AgentOutput(agent_name="ContentAgent", content=content, code_language=code_language))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Plain words.", "Plain words."),
        (
            "# Title\n\n> **Note**: not searched.\n\nThe *first* `thing` [1]. The **second**.",
            "The first thing. The second.",
        ),
        ("See [the docs](https://a.example/x) now.", "See the docs now."),
        ("- one\n- two", "one two"),
        ("Intro.\n\n```python\nx = 1\n```\n\nAfter.", "Intro. After."),
        ("snake_case_name stays", "snake_case_name stays"),
        ("| a | b |\n|---|---|\n\nBelow.", "Below."),
        ("# Only a title", "Only a title"),
        ("", ""),
    ],
)
def test_markdown_is_stripped(content: str, expected: str) -> None:
    assert summary(content) == expected


def test_whole_sentences_while_they_fit() -> None:
    sentence = "This is a sentence of some length. "
    result = summary(sentence * 50)
    assert result.endswith("length.")
    assert SUMMARY_CHARACTERS - len(sentence) < len(result) <= SUMMARY_CHARACTERS


def test_a_first_sentence_that_is_too_long_is_cut_between_words() -> None:
    result = summary("word " * 200)
    assert result.endswith("word…")
    assert len(result) <= SUMMARY_CHARACTERS


def test_the_summary_of_code_alone_states_its_length() -> None:
    assert summary("```python\nx = 1\ny = 2\n```", code_language="python") == "Code in python, 2 lines."
    assert summary("```\nx\n```") == "Code in an unnamed language, 1 line."


@given(st.text())
def test_it_is_one_short_line(content: str) -> None:
    result = summary(content)
    assert len(result) <= SUMMARY_CHARACTERS
    assert "\n" not in result


def test_a_long_hostile_answer_is_summarised_in_time() -> None:
    for piece in ("`", "[", "*", "_", "> ", "```\n", "a.", "- "):
        summary(piece * (60_000 // len(piece)))
