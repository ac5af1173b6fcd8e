"""`logs`: the last log lines of the processes of a local stack, as a person reads them.

Processes log JSON lines. What is no such line (that of another server, or half of one) is printed as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from app.cli.embedded.launch import last_lines
from app.cli.embedded.state import DEFAULT_FOLDER, StateFolder
from app.cli.failure import CommandRefused

# The same in every line of a file, or of no use to a reader.
_LEFT_OUT = frozenset({"timestamp", "level", "message", "process", "environment", "logger"})


def show_logs(state: Path | None, name: str | None, *, lines: int) -> None:
    """Prints the last lines of a process, or of all. Raises CommandRefused for a process that has no log."""
    path = state or DEFAULT_FOLDER
    # An older part of a log has a number before its ending.
    found = {log.stem: log for log in sorted(StateFolder(path.absolute()).logs.glob("*.log")) if "." not in log.stem}
    if not found:
        raise CommandRefused(f"There are no logs in {path}: no stack has run there.")
    if name is not None and name not in found:
        raise CommandRefused(f"There is no log of {name} in {path}; there are those of {', '.join(found)}.")
    for process, log in found.items():
        if name is None:
            typer.echo(f"==> {process} <==")
        if name in (None, process):
            for line in last_lines(log, lines):
                typer.echo(to_readable(line))


def to_readable(line: str) -> str:
    """Converts a JSON line to its time, level, message and fields; any other line stays as it is."""
    from app.cli.text import plain

    try:
        return plain(_to_text(json.loads(line)))
    except (ValueError, TypeError, KeyError):
        return plain(line)


def _to_text(entry: Mapping[str, Any]) -> str:
    at = datetime.fromisoformat(entry["timestamp"]).astimezone()
    fields = [f"{name}={value}" for name, value in entry.items() if name not in _LEFT_OUT]
    return "  ".join([f"{at:%H:%M:%S}", f"{entry['level']:<7}", entry["message"], *fields])
