"""The signs around a number in brackets."""

from __future__ import annotations

import pytest

from app.agents.content.citation_context import is_attached, is_index, is_interval, is_raised_citation, is_value


def place(text: str) -> tuple[str, int, int]:
    """Returns the text and the place of its first bracket."""
    return text, text.index("["), text.index("]") + 1


@pytest.mark.parametrize("text", ["a[1]", "2[1]", "f(x)[1]", "a_[1]", "é[1]"])
def test_brackets_right_behind_a_name_are_attached_to_it(text: str) -> None:
    assert is_attached(*place(text)[:2])


@pytest.mark.parametrize("text", ["[1]", "a [1]", "a.[1]", "**a**[1]", "“a”[1]", "汐[1]", "вода[1]"])
def test_other_brackets_stand_alone(text: str) -> None:
    assert not is_attached(*place(text)[:2])


@pytest.mark.parametrize(
    "text", ["a[1]", "arr[1]", "array[1]", "getItems[1]", "x.tides[1]", "a1[1]", "5[1]", "f(x)[1]"]
)
def test_names_of_programs_have_an_index(text: str) -> None:
    assert is_index(*place(text))


@pytest.mark.parametrize("text", ["tides[1].x", "tides[1](x)", "tides[1]y", "tides[1]_"])
def test_what_goes_on_behind_the_brackets_is_a_program(text: str) -> None:
    assert is_index(*place(text))


@pytest.mark.parametrize(
    "text", ["tides[1].", "Tides[1]", "NASA[1],", "marée[1]", "2030[1]", "1,500[1]", "the (GDP)[1]", "tides[1]—and"]
)
def test_words_and_years_have_citations(text: str) -> None:
    assert not is_index(*place(text))


@pytest.mark.parametrize("text", ["A = [1]", "x ∈ [1]", "[1]^T", "[1] = y", "\\sqrt{[1]", "${[1]}$"])
def test_beside_a_sign_of_mathematics_stands_a_value(text: str) -> None:
    assert is_value(*place(text))


@pytest.mark.parametrize("text", ["A [1].", "- [1]", "| [1] |", "**A** [1] *B*", "> [1]"])
def test_signs_of_markdown_are_no_mathematics(text: str) -> None:
    assert not is_value(*place(text))


@pytest.mark.parametrize(
    "text", ["the interval [1]", "x in [1]", "Im Bereich [1]", "vector: [1]", "区间 [1]", "works in [1] set in [1]"]
)
def test_an_interval_is_announced(text: str) -> None:
    assert is_interval(text, text.rindex("["))


@pytest.mark.parametrize("text", ["as shown in [1]", "described in [1]", "the tides [1]", "[1]"])
def test_a_citation_may_be_announced_like_an_interval(text: str) -> None:
    assert not is_interval(*place(text)[:2])


@pytest.mark.parametrize(
    ("text", "cites"),
    [
        ("tides²", True),
        ("Tides.²", True),
        ("x²", False),
        ("km²", False),
        ("10²", False),
        ("meters²", False),
        ("tides²(x)", False),
    ],
)
def test_a_raised_number_cites_after_a_word(text: str, cites: bool) -> None:
    start = text.index("²")
    assert is_raised_citation(text, start, start + 1) is cites
