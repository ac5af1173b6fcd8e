"""The tour on the screen: headings, a line that moves while a task runs, excerpts of answers, a final table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from app.cli.embedded.state import StackStatus
from app.cli.text import attempt_lines, cost_text, plain, seconds_of, shorten, status_text

EXCERPT_LINES = 9
EXCERPT_CHARACTERS = 700
SOURCES_SHOWN = 3


class Stage:
    """Everything that the tour prints."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def print_introduction(self, status: StackStatus) -> None:
        processes = ", ".join(process.name for process in status.processes)
        self._console.print(Text.assemble(("Running: ", "dim"), processes, ("  API: ", "dim"), status.api_url))
        if status.simulated:
            text = (
                "No provider key is set, so every answer, search result and price below comes from the SIMULATOR "
                f"({', '.join(status.simulated)}), not from a model. Set OPENAI_API_KEY to see real ones."
            )
            self._console.print(Panel(Text(text), style="yellow", title="simulated answers"))
        else:
            self._console.print(Panel(Text("Real providers answer, with your keys: this costs money."), style="green"))

    def scene(self, number: int, total: int, title: str, task: str) -> None:
        self._console.print(Rule(Text(f"{number}/{total}  {title}", style="bold"), align="left"))
        self._console.print(Text(f"> {task}", style="cyan"))

    def print_note(self, text: str, *, style: str = "dim") -> None:
        self._console.print(Text(text, style=style))

    def print_hint(self, text: str) -> None:
        """Prints a line with a command in one piece: with a line break in it, it could not be pasted."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def follow(self, states: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Shows the task's status while it runs; returns its last state."""
        task: Mapping[str, Any] = {}
        with self._console.status(Text("submitted")) as line:
            for task in states:
                agent = f" by {task['selected_agent']}" if task["selected_agent"] else ""
                line.update(Text(f"{task['status']}{agent}, {len(task['steps'])} steps done"))
        return task

    def outcome(self, task: Mapping[str, Any], *, with_attempts: bool) -> None:
        """Prints the routing, the beginning of the answer or the error, its sources and, if wished, model attempts."""
        self._routing(task)
        if task["error"] is not None:
            self._console.print(Text(f"{task['error']['type']}: {plain(task['error']['message'])}", style="yellow"))
        if task["result"] is not None:
            self._answer(task["result"])
        if with_attempts:
            for line in (line for step in task["steps"] for line in attempt_lines(step["attempts"])):
                self._console.print(Text(f"  {line}", style="dim"))

    def _routing(self, task: Mapping[str, Any]) -> None:
        routing = task["routing"]
        if routing is None:
            return
        confidence = "" if routing["confidence"] is None else f" ({routing['confidence']:.2f})"
        reasoning = (shorten(routing["reasoning"], 200), "dim")
        line = Text.assemble((f"→ {routing['agent_name']}{confidence}: ", "bold"), reasoning)
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def _answer(self, result: Mapping[str, Any]) -> None:
        language = result["code_language"]
        title = f"code: {plain(language)}" if language else None
        self._console.print(Panel(Text(excerpt(result["raw_output"])), title=title, title_align="left"))
        self._sources(result["citations"])

    def _sources(self, citations: Sequence[Mapping[str, Any]]) -> None:
        for number, citation in enumerate(citations[:SOURCES_SHOWN], start=1):
            source = Text(f"  [{number}] {plain(citation['source'])}: {plain(citation['title'])}", style="dim")
            self._console.print(source, no_wrap=True, overflow="ellipsis")
        if citations:
            self.print_note(f"  {len(citations)} cited sources; each was checked against what the search returned.")

    def verdict(self, shortfall: str | None, *, good: str) -> None:
        if shortfall is None:
            self._console.print(Text(f"✓ {good}", style="green"))
        else:
            self._console.print(Text(f"✗ Not as promised: {shortfall}", style="bold red"))

    def table(self, tasks: Sequence[tuple[str, Mapping[str, Any]]], *, simulated: bool) -> None:
        """Prints what the tasks took; `tasks` have their labels and are in the order in which they ran."""
        table = Table(title="What it took" + (" (simulated)" if simulated else ""), title_justify="left")
        table.add_column("task")
        table.add_column("agent")
        table.add_column("status")
        for column in ("seconds", "tokens", "cost"):
            table.add_column(column, justify="right")
        for label, task in tasks:
            seconds = seconds_of(task)
            table.add_row(
                label,
                task["selected_agent"] or "-",
                status_text(task["status"]),
                "-" if seconds is None else f"{seconds:.2f}",
                str(task["usage"]["total_tokens"]),
                cost_text(task["usage"]),
            )
        self._console.print(table)


def excerpt(text: str) -> str:
    """Returns the first lines, with a mark at the end if something is left out."""
    lines = plain(text).strip().splitlines()
    kept = "\n".join(lines[:EXCERPT_LINES])[:EXCERPT_CHARACTERS].rstrip()
    return kept if len(kept) >= len(plain(text).strip()) else f"{kept}\n…"
