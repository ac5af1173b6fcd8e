"""`submit`, `get`, `list`, `watch`, `cancel`: tasks over REST, for people, and for programs with `--json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.embedded.state import DEFAULT_FOLDER

if TYPE_CHECKING:
    from app.cli.client import ApiClient, Json

Api = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="Address of the API; without it that of the local stack."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="AGENT_ORCHESTRATOR_API_KEY", show_envvar=True, help="API key, if the API asks for one."
    ),
]
State = Annotated[Path, typer.Option("--state", metavar="DIR", help="Folder of the local stack.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.")]


def register(app: typer.Typer) -> None:
    commands: dict[str, Callable[..., None]] = {
        "submit": submit,
        "get": get,
        "list": list_tasks,
        "watch": watch,
        "cancel": cancel,
    }
    for name, command in commands.items():
        app.command(name)(command)


def submit(
    text: Annotated[str, typer.Argument(help="What is to be done, in plain language.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer and show it.")] = False,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Continue this conversation.")] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Agent to use instead of the router's choice.")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, max=9, help="9 is first.")] = 0,
    idempotency_key: Annotated[str | None, typer.Option(metavar="KEY", help="Makes a repeat harmless.")] = None,
    as_json: AsJson = False,
    api: Api = None,
    key: Key = None,
    state: State = DEFAULT_FOLDER,
) -> None:
    """Submit a task. With --wait, exit code 1 if it did not complete."""
    body = {"task": text, "session_id": session, "agent": agent, "priority": priority}
    present = {name: value for name, value in body.items() if value is not None}
    with _connect(api, key, state) as client:
        accepted = client.submit(present, idempotency_key=idempotency_key)
        if wait:
            _follow(client, accepted["task_id"], as_json=as_json)
        elif as_json:
            _print_json(accepted)
        else:
            typer.echo(f"{accepted['message']}\n  task     {accepted['task_id']}\n  session  {accepted['session_id']}")
            typer.echo(f"See it with: agent-orchestrator watch {accepted['task_id']}")


def get(
    task_id: TaskId, as_json: AsJson = False, api: Api = None, key: Key = None, state: State = DEFAULT_FOLDER
) -> None:
    """Show a task with its answer."""
    with _connect(api, key, state) as client:
        _show(client.get(task_id), as_json=as_json)


def list_tasks(
    status: Annotated[str | None, typer.Option(help="queued, processing, completed, failed or cancelled.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="content, code …")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Tasks of this conversation.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of the task's text.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most tasks shown.")] = 20,
    as_json: AsJson = False,
    api: Api = None,
    key: Key = None,
    state: State = DEFAULT_FOLDER,
) -> None:
    """List tasks, newest first."""
    filters = {"status": status, "agent_type": agent_type, "session_id": session, "text": text, "limit": limit}
    with _connect(api, key, state) as client:
        page = client.list_tasks(filters)
    if as_json:
        _print_json(page)
        return
    from rich.console import Console

    from app.cli.text import print_tasks

    if page["items"]:
        print_tasks(Console(highlight=False), page["items"])
    else:
        typer.echo("No tasks.")


def watch(
    task_id: TaskId, as_json: AsJson = False, api: Api = None, key: Key = None, state: State = DEFAULT_FOLDER
) -> None:
    """Follow a task until it ends. Exit code 1 if it did not complete."""
    with _connect(api, key, state) as client:
        _follow(client, task_id, as_json=as_json)


def cancel(
    task_id: TaskId, as_json: AsJson = False, api: Api = None, key: Key = None, state: State = DEFAULT_FOLDER
) -> None:
    """Cancel a queued or running task; a finished one stays as it is."""
    with _connect(api, key, state) as client:
        task = client.cancel(task_id)
    if as_json:
        _print_json(task)
    elif task["status"] == "processing":
        typer.echo("The task runs and was asked to stop.")
    else:
        typer.echo(f"The task is {task['status']}.")


def _connect(api: str | None, key: str | None, state: Path) -> ApiClient:
    from app.cli.client import ApiClient, find_api

    return ApiClient(find_api(api, state), key=key)


def _follow(client: ApiClient, task_id: str, *, as_json: bool) -> None:
    printed = 0
    for task in client.follow(task_id):
        for event in [] if as_json else task["events"][printed:]:
            typer.echo(f"{event['at'][11:19]}  {event['name']}")
        printed = len(task["events"])
    _show(task, as_json=as_json)
    if task["status"] != "completed":
        raise typer.Exit(1)


def _show(task: Json, *, as_json: bool) -> None:
    if as_json:
        _print_json(task)
        return
    from rich.console import Console

    from app.cli.text import print_task

    print_task(Console(), task)


def _print_json(document: Json) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
