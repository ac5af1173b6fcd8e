"""`up`, `down`, `status`: the local stack for people at a terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.embedded import launch
from app.cli.embedded.free_ports import free_ports, is_free
from app.cli.embedded.spec import StackPlan
from app.cli.embedded.stack_plan import ConfiguredParts, build_plan
from app.cli.embedded.state import StackStatus, StateFolder
from app.settings import load_settings

if TYPE_CHECKING:
    from rich.table import Table

    from app.cli.client import Json

PREFERRED_PORT = 8080


def up(path: Path, *, detach: bool, port: int | None, workers: int) -> None:
    """Starts the stack; in the foreground this process becomes its supervisor and does not return."""
    folder = StateFolder(path.absolute())
    running = folder.read_status()
    if running is not None:
        typer.echo(f"Already running: {running.api_url} (agent-orchestrator status shows more)")
        return
    plan = prepare(folder, port=port, workers=workers)
    typer.echo(f"Starting {', '.join(spec.name for spec in plan.children)}; data and logs are in {path}")
    if not detach:
        launch.become_supervisor(folder, plan)
    start_detached(folder, plan)
    typer.echo(plan.ready_text)


def prepare(folder: StateFolder, *, port: int | None, workers: int) -> StackPlan:
    """Builds the plan of a stack from the settings. Raises StackFailed if the asked-for port is taken."""
    named = ConfiguredParts.in_settings(load_settings())
    folder.create()
    plan = build_plan(folder, named, port=choose_port(port), workers=workers)
    return replace(plan, ready_text=build_ready_text(plan))


def choose_port(asked: int | None) -> int:
    """Returns the port asked for, else 8080, else any free one. Raises StackFailed if the one asked for is taken."""
    if asked is None:
        return PREFERRED_PORT if is_free(PREFERRED_PORT) else next(free_ports(1))
    if not is_free(asked):
        raise launch.StackFailed(f"Port {asked} is taken; choose another one with --port, or leave it out")
    return asked


def start_detached(folder: StateFolder, plan: StackPlan) -> None:
    """Starts the stack for good, and stops it again if it does not become ready. Raises StackFailed."""
    seen: set[str] = set()

    def print_ready(status: StackStatus) -> None:
        for process in status.processes:
            if process.ready and process.name not in seen:
                seen.add(process.name)
                typer.echo(f"  {process.name:<10} ready   {process.url}")

    supervisor = launch.start_supervisor(folder, plan, tethered=False)
    try:
        launch.wait_until_ready(folder, supervisor, on_status=print_ready)
    except (launch.StackFailed, KeyboardInterrupt):  # Ctrl+C would leave a detached supervisor behind
        launch.stop_stack(folder)
        raise


def build_ready_text(plan: StackPlan) -> str:
    """Writes down what a person needs next: the address, a line to try, and whether answers are real."""
    body = '{"task": "Write a short article about tidal energy"}'
    lines = [
        "",
        f"Agent Orchestrator is ready: {plan.api_url}",
        "Try it:",
        f"  curl -s {plan.api_url}/v1/agent/execute -H 'Content-Type: application/json' -d '{body}'",
        "Stop it with: make down (or agent-orchestrator down)",
    ]
    if plan.simulated:
        simulated = ", ".join(plan.simulated)
        lines.append(f"No key is set: answers come from the simulator ({simulated}), not from a model.")
    return "\n".join(lines)


def down(path: Path) -> None:
    if launch.stop_stack(StateFolder(path.absolute())):
        typer.echo("Stopped; the data is kept.")
    else:
        typer.echo("Nothing was running.")


def show_status(path: Path, *, as_json: bool, api: str | None, key: str | None) -> None:
    """Prints the processes of the local stack, and the system behind its API or behind the given one."""
    from app.cli.client import ApiFailed
    from app.cli.system import read_system

    status = StateFolder(path.absolute()).read_status() if api is None else None
    url = api or (None if status is None else status.api_url)
    system, problem = None, None
    if url is not None:
        try:
            system = read_system(url, key=key)
        except ApiFailed as failure:
            problem = str(failure)
    if as_json:
        processes = {"processes": []} if status is None else asdict(status)
        document = processes if url is None else {**processes, "system": system, "problem": problem}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    elif url is None:
        typer.echo(f"No stack runs in {path}; start one with: agent-orchestrator up")
    else:
        _print_status(url, status, system, problem)
    # With a local stack the processes above are an answer, even while its API gives none.
    if problem is not None and status is None:
        raise typer.Exit(1)


def _print_status(url: str, status: StackStatus | None, system: Json | None, problem: str | None) -> None:
    from rich.console import Console

    from app.cli.system import print_system

    console = Console()
    if status is not None:
        typer.echo(f"The stack is {status.phase}: {url}")
        console.print(_process_table(status))
    if system is not None:
        print_system(console, system)
    else:
        typer.echo(problem)


def _process_table(status: StackStatus) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    for column in ("process", "pid", "ready", "restarts", "last end"):
        table.add_column(column, no_wrap=True)
    table.add_column("address", no_wrap=True, overflow="ellipsis", ratio=1)
    for process in status.processes:
        waiting = process.restart_delay_seconds
        table.add_row(
            process.name,
            "-" if process.pid is None else str(process.pid),
            "yes" if process.ready else "no" if waiting is None else f"in {waiting:g} s",
            str(process.restarts),
            process.last_exit or "-",
            process.url,
        )
    return table
