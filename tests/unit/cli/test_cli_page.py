"""docs/cli.md names every command, every option of `submit` and `up`, and no option that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from app.cli.main import app

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
ROOT: Any = get_command(app)


def commands(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if not isinstance(group, TyperGroup):
        yield " ".join(names), group
        return
    for name, command in group.commands.items():
        if not command.hidden:
            yield from commands(command, (*names, name))


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def test_every_command_is_named() -> None:
    assert [name for name, _ in commands(ROOT) if not re.search(rf"(?:`|agent-orchestrator ){name}\b", PAGE)] == []


@pytest.mark.parametrize("command", ["submit", "up"])
def test_every_option_is_named(command: str) -> None:
    assert options(dict(commands(ROOT))[command]) - set(re.findall(r"--[a-z][a-z-]*", PAGE)) == set()


def test_no_option_is_named_that_does_not_exist() -> None:
    existing = options(ROOT).union(*(options(command) for _, command in commands(ROOT)))
    assert set(re.findall(r"--[a-z][a-z-]*", PAGE)) - existing == set()
