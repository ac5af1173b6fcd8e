"""The words of `up` when it is ready, and the table of `status`."""

from __future__ import annotations

import socket
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from app.cli.embedded.free_ports import HOST, free_ports
from app.cli.embedded.launch import StackFailed
from app.cli.embedded.spec import StackPlan
from app.cli.embedded.state import ProcessStatus, StackStatus, StateFolder
from app.cli.stack import _process_table, build_ready_text, prepare
from tests.unit.cli.calls import called_as

PLAN = StackPlan(api_url="http://127.0.0.1:8080", children=[])


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StateFolder:
    """Makes a state folder beside no `.env`, without settings of servers and without other databases on the PATH."""
    for variable in ("MONGO_URI", "REDIS_URL", "CELERY_BROKER_URL", "AGENT_API_PORT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return StateFolder(tmp_path / "state")


def test_the_port_of_the_settings_is_used_unless_another_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, folder: StateFolder
) -> None:
    asked, in_settings = free_ports(2)
    monkeypatch.setenv("AGENT_API_PORT", str(in_settings))

    assert prepare(folder, port=None, workers=1).api_url == f"http://127.0.0.1:{in_settings}"
    assert prepare(folder, port=asked, workers=1).api_url == f"http://127.0.0.1:{asked}"


@pytest.mark.parametrize("source", ["AGENT_API_PORT", "--port"])
def test_a_taken_port_that_was_named_is_refused_with_its_source(
    monkeypatch: pytest.MonkeyPatch, folder: StateFolder, source: str
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("AGENT_API_PORT", str(port))

        with pytest.raises(StackFailed, match=f"Port {port} is taken; name another one with {source}"):
            prepare(folder, port=port if source == "--port" else None, workers=1)


def test_without_keys_the_line_to_try_needs_none() -> None:
    assert "Bearer" not in build_ready_text(PLAN, None)


def test_an_api_that_asks_for_keys_is_tried_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    called_as(monkeypatch, "./agent-orchestrator")
    text = build_ready_text(PLAN, Path("my state"), keys_required=True)

    create = "export AGENT_ORCHESTRATOR_API_KEY=$(./agent-orchestrator keys create me --state 'my state')"
    assert text.index(create) < text.index('-H "Authorization: Bearer $AGENT_ORCHESTRATOR_API_KEY"')
    assert "Stop it with: ./agent-orchestrator down --state 'my state'" in text


def test_simulated_providers_are_named() -> None:
    plan = StackPlan(api_url="", children=[], simulated=("openai", "tavily"))
    assert "simulator (openai, tavily)" in build_ready_text(plan, None)


def test_addresses_stay_whole_on_a_narrow_terminal() -> None:
    process = ProcessStatus("worker-1", "worker", 4_194_304, "http://127.0.0.1:45678", True, 3, "killed by SIGKILL")
    status = StackStatus(supervisor_pid=1, phase="running", api_url="", processes=[process])
    screen = StringIO()

    Console(file=screen, width=80).print(_process_table(status, expand=True))

    assert "http://127.0.0.1:45678" in screen.getvalue()
