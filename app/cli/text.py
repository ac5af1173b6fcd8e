"""Tasks as text on a terminal.

Text of models and web pages is printed as text and nothing else: control characters are removed, because a terminal
obeys them, and rich's markup is never interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.console import has_width

STATUS_STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan", "queued": "dim"}
_KEPT_CONTROLS = frozenset("\n\t")
_PREVIEW_CHARACTERS = 60
# With fewer columns the table of tasks would cut what was asked to less than half of the preview.
_WIDE_COLUMNS = 145
# An attempt after one of these repeats nothing: the call before it was answered, never made, or ended.
_ENDS_OF_CALLS = frozenset({"ok", "skipped", "cancelled"})
_ENTRY = re.compile(r"\s*(?:[-*•]|[(\[]?\d{1,3}[.)\]])\s")


def plain(text: str) -> str:
    """Removes the characters that a terminal would obey."""
    return "".join(sign for sign in text if sign.isprintable() or sign in _KEPT_CONTROLS)


def shorten(text: str, characters: int = _PREVIEW_CHARACTERS) -> str:
    line = " ".join(plain(text).split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def status_text(status: str) -> Text:
    return Text(status, style=STATUS_STYLES.get(status, ""))


def seconds_of(task: Mapping[str, Any]) -> float | None:
    """Returns the seconds from acceptance to the end; None before the end."""
    if task["completed_at"] is None:
        return None
    began, ended = (datetime.fromisoformat(task[name]) for name in ("created_at", "completed_at"))
    return (ended - began).total_seconds()


def cost_text(usage: Mapping[str, Any]) -> str:
    """Writes the cost, or the part of it that is known; an estimate is called so."""
    if usage["cost_usd"] is not None:
        return f"{_about(usage)}${usage['cost_usd']:.6f}"
    # 0 would read as free of charge. An older API does not send the known part.
    known_usd = usage.get("known_cost_usd")
    return f"at least ${known_usd:.6f}" if known_usd else "unknown"


def _about(usage: Mapping[str, Any]) -> str:
    return "about " if usage.get("estimated") else ""


def attempt_lines(attempts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes a line for each model attempt of a step; `again` marks one that repeats the failed call before it."""
    pairs = zip([None, *attempts], attempts, strict=False)
    return [_attempt_line(attempt, again=last is not None and _repeats(last, attempt)) for last, attempt in pairs]


def _repeats(last: Mapping[str, Any], attempt: Mapping[str, Any]) -> bool:
    same = (last["provider"], last["model"]) == (attempt["provider"], attempt["model"])
    return same and attempt["status"] != "skipped" and last["status"] not in _ENDS_OF_CALLS


def _attempt_line(attempt: Mapping[str, Any], *, again: bool) -> str:
    """Writes the model of an attempt, the outcome, the tokens and the cost."""
    status = f"{attempt['status']}{' again' if again else ''}"
    outcome = f"{status:<12} {attempt['error_type'] or ''}"
    usage = attempt["usage"]
    return f"{attempt['model']:<16} {outcome:<35} {usage['total_tokens']:>6} tokens  {cost_text(usage)}"


def print_task(console: Console, task: Mapping[str, Any], *, simulated: Sequence[str] = ()) -> None:
    """Prints the whole task: its status, the answer or the error, its sources and its cost.

    `simulated` are the providers that the simulator replaces.
    """
    head = Text.assemble("Task ", (task["task_id"], "bold"), "  ", status_text(task["status"]))
    console.print(head)
    console.print(hanging([(f"  {label}", plain(value)) for label, value in _facts(task, simulated)]))
    if task["error"] is not None:
        console.print(Text(f"\n{task['error']['type']}: {plain(task['error']['message'])}", style="red"))
    if task["result"] is not None:
        _print_result(console, task["result"])


def _print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Prints the answer, and its sources below it unless it lists them itself."""
    console.print()
    print_lines(console, result["raw_output"])
    if _lists_sources(result):
        return
    for number, citation in enumerate(result["citations"], start=1):
        console.print(hanging([(f"  [{number}]", plain(citation["title"]))]), style="dim")
        console.print(Text(f"       {plain(citation['url'])}", style="dim"), soft_wrap=True)


def print_lines(console: Console, text: str) -> None:
    """Prints a text of many lines; only a terminal wraps them."""
    if not has_width(console):
        console.file.write(f"{plain(text)}\n")  # rich would replace tabs
        return
    for line in plain(text).split("\n"):
        # Not wrapped by rich: a terminal can open an address only in one piece.
        console.print(Text(line), soft_wrap="://" in line)


def _lists_sources(result: Mapping[str, Any]) -> bool:
    entries = "\n".join(line for line in result["raw_output"].split("\n") if _ENTRY.match(line))
    return all(citation["url"] in entries for citation in result["citations"])


def hanging(rows: Sequence[tuple[str, str]]) -> Table:
    """Puts texts beside their labels; on a narrow terminal a text wraps without running under its label."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(Text(label), Text(text))
    return grid


def _facts(task: Mapping[str, Any], simulated: Sequence[str]) -> Sequence[tuple[str, str]]:
    facts = [("asked", shorten(task["task"], 100)), ("session", task["session_id"])]
    if task["selected_agent"] is not None:
        facts.append(("agent", task["selected_agent"]))
    if task["peer_routing_reason"]:
        facts.append(("because", shorten(task["peer_routing_reason"], 100)))
    seconds = seconds_of(task)
    if seconds is not None:
        usage = task["usage"]
        tokens = f"{_about(usage)}{usage['total_tokens']} tokens"
        facts.append(("cost", f"{seconds:.1f} s, {tokens}, {cost_text(usage)}"))
    if simulated:
        facts.append(("note", f"this stack simulates {', '.join(simulated)}: text, tokens and cost are made up"))
    return facts


def print_tasks(console: Console, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Prints a line for each task, and on a narrow terminal a second one with its text."""
    if console.width >= _WIDE_COLUMNS:
        console.print(_task_table(summaries, expand=has_width(console)))
        return
    for summary in summaries:
        agent = Text(plain(summary["selected_agent"] or "-"), style="dim")
        cost = Text(cost_text(summary["usage"]), style="dim")
        head = Text.assemble(summary["task_id"], "  ", status_text(summary["status"]), "  ", agent, "  ", cost)
        asked = Text(f"  {shorten(summary['task_preview'], console.width - 2)}")
        console.print(head, asked, sep="\n", no_wrap=True, overflow="ellipsis")


def _task_table(summaries: Sequence[Mapping[str, Any]], *, expand: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=expand)
    for column in ("task", "status", "agent", "cost"):
        table.add_column(column, no_wrap=True)
    table.add_column("asked", no_wrap=True, overflow="ellipsis", ratio=1 if expand else None)
    for summary in summaries:
        asked = Text(shorten(summary["task_preview"]))
        agent, cost = Text(summary["selected_agent"] or "-"), Text(cost_text(summary["usage"]))
        table.add_row(summary["task_id"], status_text(summary["status"]), agent, cost, asked)
    return table
