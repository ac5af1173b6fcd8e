"""`sessions get`, `sessions erase`: a conversation, for people, and for programs with `--json`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from app.cli import tasks
from app.cli.json_output import print_json
from app.cli.target import find_target

app = typer.Typer(help="Show a conversation, and erase it.")

SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session's id, as `submit` and `get` show it.")]


@app.command()
def get(
    session_id: SessionId,
    as_json: tasks.AsJson = False,
    api: tasks.Api = None,
    key: tasks.Key = None,
    state: tasks.State = None,
) -> None:
    """Show the last hundred turns of a conversation, oldest first."""
    with tasks.connect(find_target(api, state), key) as client:
        session = client.session(session_id)
    if as_json:
        print_json(session)
        return
    from app.cli.console import open_console
    from app.cli.text import plain, print_lines

    console = open_console()
    typer.echo(f"Session {session['session_id']}, {len(session['task_ids'])} tasks")
    for turn in session["messages"]:
        at = datetime.fromisoformat(turn["created_at"]).astimezone()
        typer.echo(f"\n{at:%Y-%m-%d %H:%M:%S}  {plain(turn['agent_name'] or turn['role'])}")
        print_lines(console, turn["content"])


@app.command()
def erase(
    session_id: SessionId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    api: tasks.Api = None,
    key: tasks.Key = None,
    state: tasks.State = None,
) -> None:
    """Remove every text of a conversation for good, and cancel its running tasks."""
    target = find_target(api, state)
    if not yes:
        typer.confirm(f"Remove every text of session {session_id} for good?", abort=True, err=True)
    with tasks.connect(target, key) as client:
        client.erase_session(session_id)
    typer.echo(f"Session {session_id} is erased.")
