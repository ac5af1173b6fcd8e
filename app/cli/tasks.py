"""`get`, `list`, `watch`, `cancel`, `runs`: tasks over REST, for people, and for programs with `--json`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failure import CommandFailed, ExitCode
from app.cli.json_output import print_json
from app.cli.target import API_KEY_VARIABLE, Target, find_target

if TYPE_CHECKING:
    from app.cli.client import ApiClient, Json

Api = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="Address of the API; without it that of the local stack."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar=API_KEY_VARIABLE, show_envvar=True, help="API key, if the API asks for one."),
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Folder of the local stack.", show_default=".agent-orchestrator"),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id, or as much of its beginning as is unique.")]

_EXIT_CODES = {"completed": ExitCode.DONE, "cancelled": ExitCode.CANCELLED}


def register(app: typer.Typer) -> None:
    commands: dict[str, Callable[..., None]] = {
        "get": get,
        "list": list_tasks,
        "watch": watch,
        "cancel": cancel,
        "runs": runs,
    }
    for name, command in commands.items():
        app.command(name)(command)


def get(
    task_id: TaskId,
    raw: Annotated[bool, typer.Option("--raw", help="Print the answer and nothing else.")] = False,
    as_json: AsJson = False,
    api: Api = None,
    key: Key = None,
    state: State = None,
) -> None:
    """Show a task with its answer."""
    target = find_target(api, state)
    with connect(target, key) as client:
        task = client.get(client.find_id(task_id))
    if not raw:
        show(task, target, as_json=as_json)
    elif task["result"] is None:
        raise CommandFailed(f"Task {task['task_id']} is {task['status']} and has no answer.")
    else:
        sys.stdout.write(task["result"]["raw_output"])


def list_tasks(
    status: Annotated[str | None, typer.Option(help="queued, processing, completed, failed or cancelled.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="content, code …")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Tasks of this conversation.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of the task's text.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most tasks shown.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="The next page, as the one before names it.")
    ] = None,
    as_json: AsJson = False,
    api: Api = None,
    key: Key = None,
    state: State = None,
) -> None:
    """List tasks, newest first."""
    filters = {"status": status, "agent_type": agent_type, "session_id": session, "text": text}
    target = find_target(api, state)
    with connect(target, key) as client:
        page = client.list_tasks({**filters, "limit": limit, "cursor": cursor})
    if as_json:
        print_json(page)
        return
    from app.cli.console import open_console
    from app.cli.text import print_tasks

    if page["items"]:
        print_tasks(open_console(), page["items"])
    else:
        typer.echo("No tasks.")
    if page["items"] and target.simulated:
        typer.echo(f"This stack simulates {', '.join(target.simulated)}: texts and costs are made up.", err=True)
    if page["next_cursor"] is not None:
        typer.echo(f"There are more; the same command with --cursor {page['next_cursor']} shows them.", err=True)


def watch(task_id: TaskId, as_json: AsJson = False, api: Api = None, key: Key = None, state: State = None) -> None:
    """Follow a task until it ends. Exit code 1 if it failed, 3 if it was cancelled."""
    target = find_target(api, state)
    with connect(target, key) as client:
        follow(client, client.find_id(task_id), target, as_json=as_json)


def cancel(task_id: TaskId, as_json: AsJson = False, api: Api = None, key: Key = None, state: State = None) -> None:
    """Cancel a queued or running task; a finished one stays as it is."""
    with connect(find_target(api, state), key) as client:
        task = client.cancel(client.find_id(task_id))
    if as_json:
        print_json(task)
    elif task["status"] == "processing":
        typer.echo("The task runs and was asked to stop.")
    else:
        typer.echo(f"The task is {task['status']}.")


def runs(task_id: TaskId, as_json: AsJson = False, api: Api = None, key: Key = None, state: State = None) -> None:
    """Show the finished steps of a task, each with its model attempts and what they cost."""
    with connect(find_target(api, state), key) as client:
        found = client.runs(client.find_id(task_id))
    if as_json:
        print_json(found)
        return
    from app.cli.console import open_console
    from app.cli.run_text import print_runs

    print_runs(open_console(), found["items"])


def connect(target: Target, key: str | None) -> ApiClient:
    from app.cli.client import ApiClient

    return ApiClient(target.url, key=key)


def follow(client: ApiClient, task_id: str, target: Target, *, as_json: bool, known: bool = False) -> None:
    """Prints the task's events on standard error, and shows it at its end. Raises Exit if it did not complete."""

    def tell_outage() -> None:
        typer.echo("The API gives no answer; waiting for it. The task goes on meanwhile.", err=True)

    told = 0
    try:
        for task in client.follow(task_id, on_outage=tell_outage, known=known):
            for event in [] if as_json else task["events"][told:]:
                typer.echo(_event_line(event), err=True)
            told = len(task["events"])
    except KeyboardInterrupt:
        typer.echo(
            f"\nThe task goes on. See it with:  {target.hint(f'watch {task_id}')}\n"
            f"Stop it with:  {target.hint(f'cancel {task_id}')}",
            err=True,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    show(task, target, as_json=as_json)
    if task["status"] != "completed":
        raise typer.Exit(_EXIT_CODES.get(task["status"], ExitCode.FAILED))


def _event_line(event: Json) -> str:
    at = datetime.fromisoformat(event["at"]).astimezone()
    return f"{at:%H:%M:%S}  {event['name'].removeprefix('task_').replace('_', ' ')}"


def show(task: Json, target: Target, *, as_json: bool) -> None:
    if as_json:
        print_json(task)
        return
    from app.cli.console import open_console
    from app.cli.text import print_task

    print_task(open_console(), task, simulated=target.simulated)
