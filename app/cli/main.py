"""`agent-orchestrator`: the commands, each in a module that is imported only when it runs.

The docstring of a command is its text in `--help`, and therefore an imperative.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app import __version__
from app.cli import agents, keys, sessions, submission, tasks
from app.cli.embedded.state import DEFAULT_FOLDER

app = typer.Typer(
    name="agent-orchestrator",
    help="Submit a task in plain language; the agent that fits it answers, and nothing accepted is lost.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("submit")(submission.submit)
tasks.register(app)
app.command("agents")(agents.list_agents)
app.add_typer(sessions.app, name="sessions")
app.add_typer(keys.app, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agent-orchestrator {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Submit a task in plain language; the agent that fits it answers, and nothing accepted is lost."""


@app.command()
def up(
    state: tasks.State = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is ready.")] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the API; without it 8080, or any free one.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Start the whole system on this machine: stores, API, workers, and a simulator when no key is set."""
    from app.cli import stack

    stack.up(state, detach=detach, port=port, workers=workers)


@app.command()
def down(state: tasks.State = None) -> None:
    """Stop the system; its data stays in the state folder."""
    from app.cli import stack

    stack.down(state)


@app.command()
def status(
    state: tasks.State = None,
    as_json: tasks.AsJson = False,
    api: tasks.Api = None,
    key: tasks.Key = None,
) -> None:
    """Show the processes of the local stack, the queue, and each worker's condition (with --api: of that system)."""
    from app.cli import stack

    stack.show_status(state, as_json=as_json, api=api, key=key)


@app.command()
def logs(
    process: Annotated[
        str | None, typer.Argument(metavar="PROCESS", help="Such as api or worker-1; without it all of them.")
    ] = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="Most lines of a process.")] = 20,
    state: tasks.State = None,
) -> None:
    """Show the last log lines of the processes of the local stack, running or stopped."""
    from app.cli.logs import show_logs

    show_logs(state, process, lines=lines)


@app.command()
def models(state: tasks.State = None, as_json: tasks.AsJson = False) -> None:
    """Show which models each role asks, in which order, and what is known of each.

    Run it with the variables of a worker. If a local stack runs, what `up` has added to them counts too. No model is
    asked for an answer, so it costs nothing. Exit code 1 if a role has no model that can be asked.
    """
    from app.cli.model_overview import show_models

    show_models(state or DEFAULT_FOLDER, as_json=as_json)


@app.command()
def demo(state: tasks.State = None) -> None:
    """Show what the system does, live, in a system of its own that is gone at the end (with --state: in that one)."""
    from app.cli.demo.tour import run_tour

    raise typer.Exit(run_tour(state))


@app.command("ssm-render")
def ssm_render(
    path: Annotated[str, typer.Option("--path", help="Path of the parameters, such as /agent-orchestrator-api/prod.")],
    region: Annotated[str | None, typer.Option("--region", envvar="AWS_REGION", help="AWS region.")] = None,
    versions: Annotated[bool, typer.Option("--versions", help="Print names and versions only, no value.")] = False,
) -> None:
    """Print parameters of AWS Systems Manager as values of the Helm chart, for `helm upgrade -f -`."""
    from app.cli.parameters import render

    if versions:
        render.list_versions(path.rstrip("/"), region=region)
    else:
        render.render(path.rstrip("/"), region=region)


@app.command("metrics-reference", hidden=True)
def metrics_reference() -> None:
    """Prints docs/metrics.md, generated from the declarations of the metrics."""
    from app.cli.metrics_reference import render_metrics

    sys.stdout.write(render_metrics())


@app.command("settings-reference", hidden=True)
def settings_reference() -> None:
    """Print docs/config-reference.md, generated from the settings."""
    from app.cli.settings_reference import render_reference

    sys.stdout.write(render_reference())
