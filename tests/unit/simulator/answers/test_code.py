"""Code answers: working code, in the language that was asked for, aware of what came before."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

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
    ],
)
def test_generated_code_is_in_the_language(task: str, language: str, part: str) -> None:
    (block,) = code_blocks(answer_code(task, []))
    assert block.language == language
    assert part in block.code


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


def test_follow_up_adds_tests_to_the_earlier_code() -> None:
    task = "Write a Python function for Fibonacci numbers"
    answer = answer_code("add unit tests to it", [(task, answer_code(task, []))])
    (block,) = code_blocks(answer)
    assert "def fibonacci" in block.code
    assert "import unittest" in block.code


def test_unknown_language_falls_back_to_python() -> None:
    assert find("anything", "cobol").code == problems()["generic"].codes["python"]
