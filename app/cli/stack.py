"""`up`, `down`, `status`: the local stack for people at a terminal."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.embedded import launch
from app.cli.embedded.free_ports import free_ports, is_free
from app.cli.embedded.spec import StackPlan
from app.cli.embedded.stack_plan import ConfiguredParts, build_plan
from app.cli.embedded.state import DEFAULT_FOLDER, StackStatus, StateFolder
from app.cli.embedded.store_server import StoreServer, choose_store_server
from app.cli.embedded.store_trial import find_fault
from app.cli.failure import ExitCode
from app.cli.invocation import pasteable
from app.cli.json_output import print_json
from app.cli.target import API_KEY_VARIABLE, find_target, state_option
from app.settings import load_settings, misspelt_variables

if TYPE_CHECKING:
    from rich.table import Table

    from app.cli.client import Json

PREFERRED_PORT = 8080


def up(state: Path | None, *, detach: bool, port: int | None, workers: int) -> None:
    """Starts the stack; in the foreground this process becomes its supervisor and does not return."""
    path = state or DEFAULT_FOLDER
    folder = StateFolder(path.absolute())
    running = folder.read_status()
    if running is not None:
        more = pasteable(f"status{state_option(state)}")
        typer.echo(f"Already running: {running.api_url}; see more with: {more}")
        return
    for sentence in misspelt_variables():
        typer.echo(sentence, err=True)
    plan = prepare(folder, port=port, workers=workers)
    keys_required = load_settings().api.auth == "on"  # on loopback, where the stack listens, `auto` requires none
    plan = replace(plan, ready_text=build_ready_text(plan, state, keys_required=keys_required))
    typer.echo(f"Starting {', '.join(spec.name for spec in plan.children)}; data and logs are in {path}")
    if not detach:
        launch.become_supervisor(folder, plan)
    start_detached(folder, plan)
    typer.echo(plan.ready_text)


def prepare(folder: StateFolder, *, port: int | None, workers: int, alone: bool = False) -> StackPlan:
    """Builds the plan of a stack from the settings, and prints what is wrong with the models that they name.

    Raises StackFailed if the asked-for port is taken, ServerUnreachable if a named server does not answer,
    CommandFailed if the data in the folder need a database that is not installed. A stack that is `alone` has a free
    port and stores of its own, also where the settings name others.
    """
    settings = load_settings()
    named = ConfiguredParts.in_settings(settings)
    folder.create()
    if named.models:
        from app.cli.model_problems import print_problems  # here alone: the clients take a while to import

        print_problems(settings)
    if alone:
        own, port = replace(named, store=False, broker=False), next(free_ports(1))
        return build_plan(folder, own, store=_choose_store(folder), port=port, workers=workers)
    if named.store or named.broker or settings.broker.celery_broker_url is not None:
        from app.cli.named_servers import require_named_servers  # here alone: the drivers take a while to import

        require_named_servers(settings, store=named.store, broker=named.broker)
    in_settings = settings.api.port if "port" in settings.api.model_fields_set else None
    port = choose_port(port, in_settings)
    store = None if named.store else _choose_store(folder)
    return build_plan(folder, named, store=store, port=port, workers=workers)


def _choose_store(folder: StateFolder) -> StoreServer:
    """Chooses the database of a stack, and prints why a better one that is installed is not used."""
    server, rejected = choose_store_server(folder, find_fault=find_fault)
    for sentence in rejected:
        typer.echo(f"{sentence} {server.kind} is used instead.", err=True)
    return server


def choose_port(asked: int | None, in_settings: int | None = None) -> int:
    """Returns the port asked for, else that of AGENT_API_PORT, else 8080, else any free one.

    Raises StackFailed if a port that was named is taken.
    """
    named = asked if asked is not None else in_settings
    if named is None:
        return PREFERRED_PORT if is_free(PREFERRED_PORT) else next(free_ports(1))
    if not is_free(named):
        source = "AGENT_API_PORT" if asked is None else "--port"
        raise launch.StackFailed(f"Port {named} is taken; name another one with {source}, or leave it out")
    return named


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
        launch.end_supervisor(folder, supervisor)
        raise


def build_ready_text(plan: StackPlan, state: Path | None, *, keys_required: bool = False) -> str:
    """Writes down what a person needs next: the address, a line to try, and whether answers are real."""
    body = '{"task": "Write a short article about tidal energy"}'
    create = f"  export {API_KEY_VARIABLE}=$({pasteable(f'keys create me{state_option(state)}')})"
    keys = ["It asks for a key. Make one, which the command line then uses too:", create] if keys_required else []
    header = f' -H "Authorization: Bearer ${API_KEY_VARIABLE}"' if keys_required else ""
    lines = [
        "",
        f"Agent Orchestrator is ready: {plan.api_url}",
        *keys,
        "Try it:",
        f"  curl -s {plan.api_url}/v1/agent/execute -H 'Content-Type: application/json'{header} -d '{body}'",
        f"Stop it with: {pasteable(f'down{state_option(state)}')}",
    ]
    if plan.simulated:
        simulated = ", ".join(plan.simulated)
        lines.append(f"No key is set: answers come from the simulator ({simulated}), not from a model.")
    return "\n".join(lines)


def down(state: Path | None) -> None:
    if launch.stop_stack(StateFolder((state or DEFAULT_FOLDER).absolute())):
        typer.echo("Stopped; the data is kept.")
    else:
        typer.echo("Nothing was running.")


def show_status(state: Path | None, *, as_json: bool, api: str | None, key: str | None) -> None:
    """Prints the processes of the local stack, and the system behind its API or behind the given one.

    Raises Exit if nothing runs there.
    """
    from app.cli.client import ApiFailed
    from app.cli.system import read_system

    path = state or DEFAULT_FOLDER
    folder = StateFolder(path.absolute())
    status = folder.read_status() if api is None else None
    shortage = None if status is None else folder.read_shortage()
    url = find_target(api, None).url if api is not None else None if status is None else status.api_url
    system, problem = None, None
    if url is not None:
        try:
            system = read_system(url, key=key)
        except ApiFailed as failure:
            problem = str(failure)
    if as_json:
        processes = {"api_url": url, "processes": []} if status is None else asdict(status)
        print_json({**processes, "system": system, "problem": problem, "disk_problem": shortage})
    elif url is None:
        typer.echo(f"No stack runs in {path}; start one with: {pasteable(f'up{state_option(state)}')}")
    else:
        _print_status(url, status, system, problem)
        if shortage is not None:
            typer.echo(shortage)
    # With a local stack the processes above are an answer, even while its API gives none.
    if status is None and (url is None or problem is not None):
        raise typer.Exit(ExitCode.UNREACHABLE)


def _print_status(url: str, status: StackStatus | None, system: Json | None, problem: str | None) -> None:
    from app.cli.console import has_width, open_console
    from app.cli.system import print_system

    console = open_console()
    if status is not None:
        typer.echo(f"The stack is {status.phase}: {url}")
        console.print(_process_table(status, expand=has_width(console)))
        for process in status.processes:
            if process.program:
                typer.echo(f"{process.name} is {process.program}.")
    if system is not None:
        print_system(console, system)
    else:
        typer.echo(problem)


def _process_table(status: StackStatus, *, expand: bool) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=expand)
    for column in ("process", "pid", "ready", "restarts", "address"):
        table.add_column(column, no_wrap=True)
    # The last one is what a narrow terminal cuts: a shortened address is useless.
    table.add_column("last end", no_wrap=True, overflow="ellipsis", ratio=1 if expand else None)
    for process in status.processes:
        waiting = process.restart_delay_seconds
        table.add_row(
            process.name,
            "-" if process.pid is None else str(process.pid),
            "yes" if process.ready else "no" if waiting is None else f"in {waiting:g} s",
            str(process.restarts),
            process.url.partition("/?")[0],
            process.last_exit or "-",
        )
    return table
