"""Hints begin with the program as its user called it, so that they work when they are pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import invocation
from app.cli.invocation import pasteable
from tests.unit.cli.calls import called_as

CLI = Path(invocation.__file__).parent
# The text of one is a page, that of the other the rule itself.
NO_HINTS = {"settings_reference.py", "invocation.py"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    found = tmp_path / "my bin" / "agent-orchestrator"
    found.parent.mkdir()
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    return found


@pytest.mark.parametrize(
    "called", [".venv/bin/agent-orchestrator", "./agent-orchestrator", "/opt/ao/agent-orchestrator"]
)
def test_a_path_stays_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, called: str) -> None:
    called_as(monkeypatch, called)
    assert pasteable("keys list") == f"{called} keys list"


def test_a_program_on_the_path_is_its_name(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    called_as(monkeypatch, str(program))
    assert pasteable("up") == "agent-orchestrator up"


def test_a_program_that_another_one_hides_on_the_path_is_its_path(
    monkeypatch: pytest.MonkeyPatch, program: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / program.name).write_text("#!/bin/sh\n")
    (first / program.name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(first), str(program.parent)]))
    called_as(monkeypatch, str(program))
    assert pasteable("up") == f"'{program}' up"


@pytest.mark.parametrize("python", ["python", ".venv/bin/python"])
def test_a_module_is_called_with_the_same_python(monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    called_as(monkeypatch, str(CLI / "__main__.py"), python=python)
    assert pasteable("up") == f"{python} -m app.cli up"


def test_the_hint_of_a_module_works_when_it_is_pasted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "status", "--state", "away"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"No stack runs in away; start one with: {sys.executable} -m app.cli up --state away\n"


def test_no_hint_has_a_name_of_its_own() -> None:
    hint = re.compile(r"agent-orchestrator [a-z]|\bmake (?:up|down|demo)\b")
    written = {path: hint.findall(path.read_text()) for path in CLI.rglob("*.py") if path.name not in NO_HINTS}
    assert [str(path) for path, found in written.items() if found] == []
