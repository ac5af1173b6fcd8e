"""How a task reads on a terminal.

What models and web pages wrote is shown as text and nothing else: control characters are taken out (a terminal obeys
them), and rich's markup is never interpreted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan", "queued": "dim"}
_KEPT_CONTROLS = frozenset("\n\t")
_PREVIEW_CHARACTERS = 60


def plain(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return "".join(sign for sign in text if sign.isprintable() or sign in _KEPT_CONTROLS)


def shorten(text: str, characters: int = _PREVIEW_CHARACTERS) -> str:
    line = " ".join(plain(text).split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def status_text(status: str) -> Text:
    return Text(status, style=STATUS_STYLES.get(status, ""))


def seconds_of(task: Mapping[str, Any]) -> float | None:
    """From acceptance to the end; None while there is no end."""
    if task["completed_at"] is None:
        return None
    began, ended = (datetime.fromisoformat(task[name]) for name in ("created_at", "completed_at"))
    return (ended - began).total_seconds()


def cost_text(cost_usd: float | None) -> str:
    return "unknown" if cost_usd is None else f"${cost_usd:.6f}"


def attempt_lines(task: Mapping[str, Any]) -> list[str]:
    """One line per try of a model: which, how it ended, what it cost."""
    return [
        f"{attempt['model']:<16} {attempt['status']:<12} {attempt['error_type'] or '':<22} "
        f"{attempt['usage']['total_tokens']:>6} tokens  {cost_text(attempt['usage']['cost_usd'])}"
        for step in task["steps"]
        for attempt in step["attempts"]
    ]


def print_task(console: Console, task: Mapping[str, Any]) -> None:
    """The whole task: where it stands, the answer or the error, its sources and its cost."""
    head = Text.assemble("Task ", (task["task_id"], "bold"), "  ", status_text(task["status"]))
    console.print(head)
    console.print(_hanging([(f"  {label}", plain(value)) for label, value in _facts(task)]))
    if task["error"] is not None:
        console.print(Text(f"\n{task['error']['type']}: {plain(task['error']['message'])}", style="red"))
    if task["result"] is not None:
        console.print(Text("\n" + plain(task["result"]["raw_output"])))
        for number, citation in enumerate(task["result"]["citations"], start=1):
            console.print(_hanging([(f"  [{number}]", plain(citation["title"]))]), style="dim")
            console.print(Text(f"       {plain(citation['url'])}", style="dim"), soft_wrap=True)


def _hanging(rows: Sequence[tuple[str, str]]) -> Table:
    """Labels, and texts that are broken beside them where the terminal is narrow."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(Text(label), Text(text))
    return grid


def _facts(task: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    facts = [("asked", shorten(task["task"], 100)), ("session", task["session_id"])]
    if task["selected_agent"] is not None:
        facts.append(("agent", task["selected_agent"]))
    if task["peer_routing_reason"]:
        facts.append(("because", shorten(task["peer_routing_reason"], 100)))
    seconds = seconds_of(task)
    if seconds is not None:
        usage = task["usage"]
        facts.append(("cost", f"{seconds:.1f} s, {usage['total_tokens']} tokens, {cost_text(usage['cost_usd'])}"))
    return facts


def task_table(summaries: Sequence[Mapping[str, Any]]) -> Table:
    """One line per task, also on a narrow terminal: only the text that was asked is cut."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    for column in ("task", "status", "agent"):
        table.add_column(column, no_wrap=True)
    table.add_column("asked", no_wrap=True, overflow="ellipsis", ratio=1)
    for summary in summaries:
        asked = Text(shorten(summary["task_preview"]))
        table.add_row(summary["task_id"], status_text(summary["status"]), Text(summary["selected_agent"] or "-"), asked)
    return table
