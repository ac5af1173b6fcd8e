"""Sums that are asked for in words and signs, and texts that are none."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator.answers.arithmetic import solve


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("What is 2+2?", "2 + 2 = 4"),
        ("2+2", "2 + 2 = 4"),
        ("Hello, what is 7*8, please?", "7 x 8 = 56"),
        ("What is 5 + 5 equal to?", "5 + 5 = 10"),
        ("What's 2 + 2 = ?", "2 + 2 = 4"),
        ("Calculate (1 + 2) * 3", "(1 + 2) x 3 = 9"),
        ("calculate: 7 - 10", "7 - 10 = -3"),
        ("How much is 10 / 4?", "10 ÷ 4 = 2.5"),
        ("What is 10 divided by 4?", "10 ÷ 4 = 2.5"),
        ("what is two plus two", "2 + 2 = 4"),
        ("What is 12 times 12? Answer with the number only.", "12 x 12 = 144"),
        ("Please compute 3 x 4.", "3 x 4 = 12"),
        ("1,000 + 2,500", "1000 + 2500 = 3500"),
        ("0.1 + 0.2", "0.1 + 0.2 = 0.3"),
        ("2 * -3", "2 x -3 = -6"),
        ("-(2 - 5) / 2", "-(2 - 5) ÷ 2 = 1.5"),
        ("2 + 3 * 4 - 6 / 2", "2 + 3 x 4 - 6 ÷ 2 = 11"),
        ("8 / 4 / 2", "8 ÷ 4 ÷ 2 = 1"),
        ("What is 10 / 3?", "10 ÷ 3 ≈ 3.3333333333"),
        ("1 / 0", "1 ÷ 0 has no value, because a division by zero has none."),
        ("Was ist 6*7?", "6 x 7 = 42"),
        ("Combien font 6 \N{MULTIPLICATION SIGN} 7 ?", "6 x 7 = 42"),
        ("123456789012345678901234567890 + 1", "123456789012345678901234567890 + 1 = 123456789012345678901234567891"),
        ("9" * 40 + " / 7", f"{'9' * 40} ÷ 7 ≈ {int('9' * 40) // 7}.4285714286"),
    ],
)
def test_sum_is_solved(task: str, answer: str) -> None:
    assert solve(task) == answer.replace(" x ", " \N{MULTIPLICATION SIGN} ")


@pytest.mark.parametrize(
    "task",
    [
        "",
        "42",
        "-5",
        "(5)",
        "2 +",
        "(2 + 3",
        "2 + 3)",
        "2 ** 3",
        "2 // 3",
        "1.2.3 + 4",
        "007 + 1",
        "What is 2+2 and what is a haiku?",
        "Write an article about 9/11",
        "Write a Python program that computes 2+2",
        "What happened on 2026-01-02?",
        "2 + x",
        "__import__('os') + 1",
        "What is the sum of all numbers?",
        "((" * 80 + "1" + "))" * 80 + "+1",
    ],
)
def test_other_text_is_none(task: str) -> None:
    assert solve(task) is None


@given(
    st.lists(st.integers(0, 999), min_size=2, max_size=8),
    st.lists(st.sampled_from("+-*/"), min_size=7, max_size=7),
)
def test_result_is_that_of_python(numbers: list[int], signs: list[str]) -> None:
    pairs = list(zip(signs, numbers[1:], strict=False))
    text = str(numbers[0]) + "".join(f" {sign} {number}" for sign, number in pairs)
    answer = solve(f"What is {text}?")
    assert answer is not None
    exact = re.sub(r"\d+", r"Fraction(\g<0>)", text)
    try:
        value = eval(exact, {"Fraction": Fraction})  # noqa: S307 - numbers and signs that the test has made
    except ZeroDivisionError:
        assert "division by zero" in answer
        return
    shown = Fraction(answer.split()[-1])
    assert shown == value if "=" in answer else abs(shown - value) < Fraction(1, 10**8)


@given(st.text(alphabet="0123456789+-*/(). x\n", max_size=250))
def test_any_text_is_read(task: str) -> None:
    answer = solve(task)
    assert answer is None or "=" in answer or "\N{ALMOST EQUAL TO}" in answer or "no value" in answer


def test_deepest_brackets_are_read() -> None:
    assert solve("(" * 90 + "1+1" + ")" * 90) == "(" * 90 + "1 + 1" + ")" * 90 + " = 2"
