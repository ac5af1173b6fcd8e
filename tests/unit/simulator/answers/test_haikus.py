"""Haikus: their form, and their subject."""

from __future__ import annotations

import re

import pytest

from app.simulator.answers.articles import REMARK
from app.simulator.answers.haikus import _HAIKUS, ANY_SUBJECT, write_haiku


def syllables(word: str) -> int:
    """Counts groups of vowels, without a silent e at the end; right for the words of these haikus."""
    groups = re.findall(r"[aeiouy]+", word.lower())
    silent = len(groups) > 1 and re.search(r"[^aeiouy]e[sd]?$", word.lower()) is not None
    return len(groups) - silent


@pytest.mark.parametrize("haiku", [*(haiku for _, haiku in _HAIKUS), ANY_SUBJECT])
def test_haiku_has_its_form(haiku: str) -> None:
    assert [sum(map(syllables, line.split())) for line in haiku.split("\n")] == [5, 7, 5]


@pytest.mark.parametrize(
    ("task", "part"),
    [
        ("Write a haiku about rain", "Soft rain on the roof"),
        ("haiku about the sea", "Grey waves"),
        ("Please write me a short haiku on autumn leaves.", "Red leaves"),
        ("Compose a haiku about the moon at night", "The moon in the pond"),
        ("Write a haiku about code", "One test has turned red"),
        ("Write a haiku", "A page with no words"),
    ],
)
def test_haiku_is_about_its_subject(task: str, part: str) -> None:
    haiku = write_haiku(task)
    assert haiku is not None
    assert haiku.startswith(part)
    assert haiku.count("\n") == 2


def test_haiku_on_another_subject_is_one_of_the_simulator() -> None:
    assert write_haiku("Write a haiku about tax law") == "\n\n".join(
        ["**Tax law**", ANY_SUBJECT.replace("\n", "  \n"), REMARK]
    )


@pytest.mark.parametrize(
    "task", ["What is a haiku?", "Write an essay on the haiku", "Explain how a haiku works", "Make the haiku shorter"]
)
def test_other_text_is_none(task: str) -> None:
    assert write_haiku(task) is None
