"""The words of `up` when it is ready, and the table of `status`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from app.cli.embedded.spec import StackPlan
from app.cli.embedded.state import ProcessStatus, StackStatus
from app.cli.stack import _process_table, build_ready_text

PLAN = StackPlan(api_url="http://127.0.0.1:8080", children=[])


def test_without_keys_the_line_to_try_needs_none() -> None:
    assert "Bearer" not in build_ready_text(PLAN, None)


def test_an_api_that_asks_for_keys_is_tried_with_one() -> None:
    text = build_ready_text(PLAN, Path("my state"), keys_required=True)

    create = "export AGENT_ORCHESTRATOR_API_KEY=$(agent-orchestrator keys create me --state 'my state')"
    assert text.index(create) < text.index('-H "Authorization: Bearer $AGENT_ORCHESTRATOR_API_KEY"')


def test_simulated_providers_are_named() -> None:
    plan = StackPlan(api_url="", children=[], simulated=("openai", "tavily"))
    assert "simulator (openai, tavily)" in build_ready_text(plan, None)


def test_addresses_stay_whole_on_a_narrow_terminal() -> None:
    process = ProcessStatus("worker-1", "worker", 4_194_304, "http://127.0.0.1:45678", True, 3, "killed by SIGKILL")
    status = StackStatus(supervisor_pid=1, phase="running", api_url="", processes=[process])
    screen = StringIO()

    Console(file=screen, width=80).print(_process_table(status, expand=True))

    assert "http://127.0.0.1:45678" in screen.getvalue()
