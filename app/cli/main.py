"""`agent-orchestrator`: the commands, each in a module that is imported only when it runs.

The docstring of a command is its text in `--help`, and therefore an imperative.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli import keys, tasks
from app.cli.embedded.state import DEFAULT_FOLDER
from app.cli.failure import CommandFailed
from app.errors import AgentOrchestratorError, InvalidRequest

app = typer.Typer(
    name="agent-orchestrator",
    help="Submit a task in plain language; the agent that fits it answers, and nothing accepted is lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tasks.register(app)
app.add_typer(keys.app, name="keys")

State = Annotated[Path, typer.Option("--state", metavar="DIR", help="Folder with the stack's data and logs.")]


@app.command()
def up(
    state: State = DEFAULT_FOLDER,
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
def down(state: State = DEFAULT_FOLDER) -> None:
    """Stop the system; its data stays in the state folder."""
    from app.cli import stack

    stack.down(state)


@app.command()
def status(
    state: State = DEFAULT_FOLDER,
    as_json: tasks.AsJson = False,
    api: tasks.Api = None,
    key: tasks.Key = None,
) -> None:
    """Show the processes of the local stack, the queue, and each worker's condition (with --api: of that system)."""
    from app.cli import stack

    stack.show_status(state, as_json=as_json, api=api, key=key)


@app.command()
def models(state: State = DEFAULT_FOLDER, as_json: tasks.AsJson = False) -> None:
    """Show which models each role asks, in which order, and what is known of each.

    Run it with the variables of a worker. If a local stack runs, what `up` has added to them counts too. No model is
    asked for an answer, so it costs nothing. Exit code 1 if a role has no model that can be asked.
    """
    from app.cli.model_overview import show_models

    show_models(state, as_json=as_json)


@app.command()
def demo(state: State = DEFAULT_FOLDER) -> None:
    """Show what the system does, live. Start it first if it does not run, and stop it again at the end."""
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


def main() -> None:
    """Runs a command; prints an error of ours as one message on standard error, and exits with code 1."""
    try:
        app()
    except (AgentOrchestratorError, CommandFailed) as error:
        wrong = error.fields if isinstance(error, InvalidRequest) else ()
        sys.stderr.write("\n  ".join([str(error), *(f"{field} {problem}" for field, problem in wrong)]) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
