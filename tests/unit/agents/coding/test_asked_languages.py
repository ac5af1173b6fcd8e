"""The languages that a task asks for."""

from __future__ import annotations

import pytest

from app.agents.coding.asked_languages import AskedLanguages, read_asked_languages


def asked(*wanted: str, target: str | None = None, named: tuple[str, ...] = ()) -> AskedLanguages:
    return AskedLanguages(target, wanted, frozenset((*wanted, *named, *([target] if target else []))))


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("", asked()),
        ("Sort a list", asked()),
        ("Sort a list in Python 3.12", asked("python")),
        ("Port this Java class to Kotlin", asked(target="kotlin", named=("java",))),
        ("from C to Rust", asked(target="rust", named=("c",))),
        ("What does this Python code do?", asked(named=("python",))),
        ("Write a Python script to generate HTML", asked("python", named=("html",))),
        ("Write a C# service in the style of Go", asked("csharp", named=("go",))),
        ("Make it go faster, then make the rest swift", asked()),
        ("use rust instead", asked("rust")),
        ("Explain it in basic terms, with less code", asked()),
        ("Write it in Go and in Rust", asked("go", "rust")),
        ("Schreibe ein Bash-Skript, das Python installiert", asked("bash", named=("python",))),
        ("Write bash that installs Python", asked("bash", named=("python",))),
        ("Convert JSON to a Go struct", asked(target="go", named=("json",))),
        ("Run it in Docker with Postgres", asked()),
        ("Draw a PlantUML diagram", asked("plantuml")),
        ("see src/main.py and http.go", asked()),
    ],
)
def test_names_are_read_with_the_words_beside_them(task: str, expected: AskedLanguages) -> None:
    assert read_asked_languages(task) == expected


def test_pasted_code_names_nothing() -> None:
    assert read_asked_languages("Explain:\n```\nin Ruby\n```\nthank you") == asked()


def test_of_a_very_long_task_the_beginning_and_the_end_are_read() -> None:
    task = "Write it in Go. " + "x " * 30_000 + "Not in Java."
    assert read_asked_languages(task).named == {"go", "java"}
