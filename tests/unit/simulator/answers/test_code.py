"""Code answers: working code, in the language that was asked for, aware of what came before."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.simulator.answers.code import answer_code
from app.simulator.answers.library import find, problems
from app.simulator.answers.reading import code_blocks

PYTHON = [(name, problem.codes["python"]) for name, problem in problems().items() if "python" in problem.codes]
BASH = [(name, problem.codes["bash"]) for name, problem in problems().items() if "bash" in problem.codes]


@pytest.mark.parametrize(("name", "code"), PYTHON, ids=[name for name, _ in PYTHON])
def test_python_snippets_load(name: str, code: str) -> None:
    exec(compile(code, name, "exec"), {"__name__": "snippet"})  # noqa: S102 - our own files


@pytest.mark.parametrize(("name", "code"), BASH, ids=[name for name, _ in BASH])
def test_bash_snippets_parse(name: str, code: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    subprocess.run([bash, "-n"], input=code.encode(), check=True)  # noqa: S603 - our own files


@pytest.mark.parametrize(
    ("task", "language", "part"),
    [
        ("Write a Python function for Fibonacci numbers", "python", "def fibonacci"),
        ("fibonacci in JavaScript please", "javascript", "function fibonacci"),
        ("Write a Go program with a binary search", "go", "func BinarySearch"),
        ("A Rust function that reverses a string", "rust", "fn reverse"),
        ("SQL for the top customers by orders", "sql", "GROUP BY"),
        ("bash script to back up a folder", "bash", "tar -czf"),
        ("Write a function that checks palindromes", "python", "def is_palindrome"),
        ("Write a Ruby program that does something rare", "ruby", "def process"),
        ("Write a debounce function in JavaScript", "javascript", "clearTimeout(timer)"),
        ("debounce in TypeScript", "typescript", "ReturnType<typeof setTimeout>"),
        ("TypeScript function that reverses a string", "typescript", "function reverseString"),
        ("Check whether a number is prime, in Go", "go", "func IsPrime"),
        ("JavaScript function that checks whether a number is prime", "javascript", "function isPrime"),
        ("Reverse a string in Go", "go", "func ReverseString"),
        ("Reverse a string in JavaScript", "javascript", "function reverseString"),
    ],
)
def test_generated_code_is_in_the_language(task: str, language: str, part: str) -> None:
    (block,) = code_blocks(answer_code(task, []))
    assert block.language == language
    assert part in block.code


COMMON = (
    "prime_check",
    "reverse_string",
    "reverse_words",
    "reverse_list",
    "addition",
    "debounce",
    "fibonacci",
    "sorting",
)


@pytest.mark.parametrize("name", COMMON)
def test_common_problem_is_solved_in_three_languages(name: str) -> None:
    assert problems()[name].codes.keys() >= {"python", "javascript", "go"}


@pytest.mark.parametrize(("asked", "named"), [("Kotlin", "Kotlin"), ("C#", "C#"), ("Haskell", "Haskell")])
def test_language_without_a_solution_gets_python_and_a_remark(asked: str, named: str) -> None:
    answer = answer_code(f"Write a function in {asked} that checks whether a number is prime", [])
    assert answer.startswith(
        f"The simulator has no solution of this task in {named}. Here is a complete one in Python."
    )
    (block,) = code_blocks(answer)
    assert (block.language, "def is_prime" in block.code) == ("python", True)


@pytest.mark.parametrize(
    "task",
    [
        "Write a Python program that does something rare",
        "Write a Python function that sends an email",
        "Write a Python function that sorts a list of dictionaries by a key",
        "Write a Python function that checks whether a list has an even length",
        "Write a Python decorator that measures time",
        "Write a Python function that reads a table of a database",
    ],
)
def test_sample_is_not_passed_off_as_a_solution(task: str) -> None:
    answer = answer_code(task, [])
    assert answer.startswith("The simulator has no solution of this task, so this is only a sample of code, in Python.")
    assert "complete solution" not in answer


def test_debounced_python_function_runs_once_with_the_last_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[FakeTimer] = []

    class FakeTimer:
        def __init__(self, seconds: float, function: Callable[..., None], given: Sequence[str], _: object) -> None:
            self.run: Callable[[], None] | None = lambda: function(*given)
            timers.append(self)

        def start(self) -> None:
            assert self.run is not None

        def cancel(self) -> None:
            self.run = None

    monkeypatch.setattr("threading.Timer", FakeTimer)
    defined: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(problems()["debounce"].codes["python"], "debounce", "exec"), defined)  # noqa: S102 - our own file
    ran: list[str] = []
    search = defined["debounce"](0.5)(ran.append)
    for text in ("a", "ab", "abc"):
        search(text)
    for timer in timers:
        if timer.run is not None:
            timer.run()
    assert ran == ["abc"]


def test_generated_python_runs(tmp_path: Path) -> None:
    (block,) = code_blocks(answer_code("python fibonacci", []))
    file = tmp_path / "answer.py"
    file.write_text(block.code)
    ran = subprocess.run([sys.executable, str(file)], check=True, capture_output=True, text=True)  # noqa: S603  # runs the answer
    assert ran.stdout.strip() == "[0, 1, 1, 2, 3, 5, 8, 13, 21, 34]"


def test_pasted_code_is_explained() -> None:
    answer = answer_code("Explain this:\n```python\ndef total(items):\n    for i in items:\n        pass\n```", [])
    assert "`total` takes items" in answer
    assert "`for` loop" in answer


def test_refactored_python_still_parses() -> None:
    answer = answer_code("Refactor this:\n```python\ndef add(a,b):\n  x=a+b\n  return x\n```", [])
    (block,) = code_blocks(answer)
    assert ast.parse(block.code).body
    assert '"""Add."""' in block.code
    assert "**Changes**" in answer


def test_code_that_does_not_parse_is_left_alone() -> None:
    answer = answer_code("Refactor:\n```python\ndef add(a,b\n```", [])
    assert "does not parse" in answer


def test_follow_up_ports_the_earlier_code() -> None:
    task = "Write a Python function for Fibonacci numbers"
    history = [(task, answer_code(task, []))]
    answer = answer_code("Now do it in Go", history)
    assert "ported to go" in answer
    assert "func Fibonacci" in answer


def test_second_port_knows_the_first_question() -> None:
    task = "Write a Python function for Fibonacci numbers"
    history = [(task, answer_code(task, []))]
    history.append(("Now do it in Go", answer_code("Now do it in Go", history)))
    answer = answer_code("Now do it in Rust", history)
    assert "ported to rust" in answer
    assert "fn fibonacci" in answer


def test_port_into_a_language_without_a_solution_says_so() -> None:
    task = "Write a Python function for Fibonacci numbers"
    answer = answer_code("Now do it in Kotlin", [(task, answer_code(task, []))])
    assert answer.startswith("The simulator has no solution of this task in Kotlin.")
    assert "ported" not in answer


def test_new_problem_in_a_session_is_no_follow_up() -> None:
    task = "Write a Python function for Fibonacci numbers"
    answer = answer_code("Write a function that checks whether a number is prime", [(task, answer_code(task, []))])
    assert "def is_prime" in answer
    assert "previous answer" not in answer


def test_follow_up_adds_tests_to_the_earlier_code() -> None:
    task = "Write a Python function for Fibonacci numbers"
    answer = answer_code("add unit tests to it", [(task, answer_code(task, []))])
    (block,) = code_blocks(answer)
    assert "def fibonacci" in block.code
    assert "import unittest" in block.code


def test_unknown_language_falls_back_to_python() -> None:
    assert find("anything", "cobol").code == problems()["generic"].codes["python"]
