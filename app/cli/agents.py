"""`agents`: the agents that a task may name, as the workers have published them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from app.cli import tasks
from app.cli.json_output import print_json
from app.cli.target import find_target


def list_agents(
    as_json: tasks.AsJson = False, api: tasks.Api = None, key: tasks.Key = None, state: tasks.State = None
) -> None:
    """List the agents, with what each is for: their names are those of `submit --agent`."""
    with tasks.connect(find_target(api, state), key) as client:
        found = client.agents()
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        typer.echo("No agents: workers publish theirs when they start.")
        return
    from app.cli.console import open_console
    from app.cli.text import hanging, plain

    rows = [
        row
        for card in found["items"]
        for row in ((plain(card["name"]), plain(card["description"])), ("", _facts(card)))
    ]
    open_console().print(hanging(rows))


def _facts(card: Mapping[str, Any]) -> str:
    facts = [f"kind {card['agent_type']}", f"version {card['version']}"]
    if card["tools"]:
        facts.append(f"tools {', '.join(card['tools'])}")
    if not card["routable"]:
        facts.append("only for tasks that name it")
    return ", ".join(facts)
