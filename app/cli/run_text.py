"""The finished steps of a task as text on a terminal, each with its model attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from app.cli.text import attempt_lines, plain


def print_runs(console: Console, runs: Sequence[Mapping[str, Any]]) -> None:
    """Prints each step with its agent and its time, and below it what each model attempt gave and cost."""
    if not runs:
        console.print("No step has ended yet.")
    for run in runs:
        seconds = f"{run['duration_ms'] / 1000:.2f} s"
        console.print(Text.assemble((plain(run["step"]), "bold"), "  ", plain(run["agent_name"]), "  ", seconds))
        for attempt, line in zip(run["attempts"], attempt_lines(run["attempts"]), strict=True):
            console.print(Text(f"  {line}"), soft_wrap=True)
            if attempt["detail"]:
                console.print(Text(f"    {plain(attempt['detail'])}", style="dim"), soft_wrap=True)
