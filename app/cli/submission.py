"""`submit`: a task from an argument, a file or standard input, with its limits and wishes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli import tasks
from app.cli.failure import CommandRefused
from app.cli.json_output import print_json
from app.cli.target import find_target


def submit(
    text: Annotated[
        str, typer.Argument(help="What is to be done, in plain language; - reads it from standard input, @FILE a file.")
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer and show it.")] = False,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Continue this conversation.")] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Agent to use instead of the router's choice.")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, max=9, help="9 is first.")] = 0,
    budget: Annotated[str | None, typer.Option(metavar="USD", help="Most money that it may cost.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens, in and out.")] = None,
    run_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before, such as 2027-01-31T09:00:00+01:00.")
    ] = None,
    deadline: Annotated[int | None, typer.Option(metavar="SECONDS", min=1, help="Most processing time.")] = None,
    max_attempts: Annotated[
        int | None, typer.Option(min=1, max=100, help="Crashes, or retries, until it fails.")
    ] = None,
    ttl: Annotated[int | None, typer.Option(metavar="SECONDS", min=1, help="Remove it so long after its end.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the task; may be repeated.")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(metavar="KEY", help="Makes a repeat harmless.")] = None,
    as_json: tasks.AsJson = False,
    api: tasks.Api = None,
    key: tasks.Key = None,
    state: tasks.State = None,
) -> None:
    """Submit a task. With --wait, exit code 1 if it failed, 3 if it was cancelled."""
    limits = {"max_cost_usd": budget, "max_tokens": max_tokens}
    body = {
        "task": _read_text(text),
        "session_id": session,
        "agent": agent,
        "priority": priority,
        "budget": {name: value for name, value in limits.items() if value is not None} or None,
        "run_at": run_at,
        "deadline_seconds": deadline,
        "max_attempts": max_attempts,
        "ttl_seconds": ttl,
        "metadata": dict(map(_pair, metadata or ())) or None,
    }
    target = find_target(api, state)
    with tasks.connect(target, key) as client:
        if session is not None:
            client.session(session)  # the API would begin a new conversation under a mistyped id
        present = {name: value for name, value in body.items() if value is not None}
        accepted = client.submit(present, idempotency_key=idempotency_key)
        task_id = accepted["task_id"]
        if wait:
            # At once, and on standard error: whatever happens from here on, the task can be found again.
            typer.echo(f"Task {task_id}", err=True)
            tasks.follow(client, task_id, target, as_json=as_json, known=True)
        elif as_json:
            print_json(accepted)
        else:
            typer.echo(f"{accepted['message']}\n  task     {task_id}\n  session  {accepted['session_id']}")
            typer.echo(f"See it with: {target.hint(f'watch {task_id}')}")


def _read_text(text: str) -> str:
    if text == "-":
        return _decoded(sys.stdin.buffer.read(), "standard input")
    if text.startswith("@"):
        try:
            return _decoded(Path(text[1:]).read_bytes(), text[1:])
        except OSError as error:
            advice = "hand in a text that begins with @ on standard input, with -"
            raise CommandRefused(f"{text[1:]} cannot be read ({error.strerror}); {advice}") from error
    return text


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise CommandRefused(f"The text from {source} is no valid UTF-8.") from error


def _pair(entry: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals:
        raise CommandRefused(f"--metadata {entry} must be NAME=VALUE")
    return name, value
