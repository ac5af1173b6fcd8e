"""The tasks that get a short answer, and those that only look like it."""

from __future__ import annotations

import pytest

from app.simulator.answers.short_answers import answer_shortly


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("What is 2+2?", "2 + 2 = 4"),
        ("Translate 'Good morning' into German", "Guten Morgen"),
        ("Write a haiku", "A page with no words  \none thought stops here for a while  \nand then it moves on"),
    ],
)
def test_each_kind_is_answered(task: str, answer: str) -> None:
    assert answer_shortly(task) == answer


@pytest.mark.parametrize(
    "task",
    [
        "Write a Python program that computes 2+2",
        "Write a function that writes a haiku about rain",
        "Write a Python function that says 'Good morning' in German",
        "Write an article about the sum of all things",
        "Why is the sky blue?",
        "please " * 5_000 + "translate good morning into German",
    ],
)
def test_other_task_is_none(task: str) -> None:
    assert answer_shortly(task) is None
