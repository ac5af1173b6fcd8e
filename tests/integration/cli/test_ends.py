"""The ends of the real command that need no stack: Ctrl+C at any moment, and a terminal that knows ASCII only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.command import COMMAND, Shell, clean_environment
from tests.support.child_process import ended
from tests.support.scripted_api import ScriptedApi, scripted_api
from tests.support.waiting import wait_for

TASK_ID = "0b6a3f52-4f0d-4a52-8a13-0e5a2b0a9f10"
# Sends Ctrl+C to itself when the command imports this module, then runs on as the command does.
CTRL_C = """
import builtins, os, signal, sys
real, wanted = builtins.__import__, sys.argv.pop(1)
def interrupted(name, *rest, **named):
    global wanted
    if name == wanted:
        wanted = None
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest, **named)
builtins.__import__ = interrupted
from app.cli.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def ctrl_c_reaches_commands() -> Iterator[None]:
    """Lets commands be interrupted also if these tests run in the background, where a shell has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """Starts an API that accepts a task, which then waits for ever."""
    accepted = {"task_id": TASK_ID, "session_id": TASK_ID, "status": "queued", "message": "Task accepted and queued."}
    queued: dict[str, Any] = {"task_id": TASK_ID, "status": "queued", "updated_at": "now", "events": []}
    with scripted_api((202, {}, accepted), (200, {}, queued)) as api:
        yield api


@pytest.mark.parametrize("command", [["submit", "x", "--wait"], ["watch", TASK_ID]], ids=["submit", "watch"])
def test_ctrl_c_ends_the_wait_and_never_the_task(shell: Shell, api: ScriptedApi, command: list[str]) -> None:
    if command[0] == "watch":
        api.answers.pop(0)
    with ended(shell.start(*command, "--api", api.url)) as process:
        wait_for(lambda: len(api.asked) >= 3, what="three questions")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130

    *before, _, see, stop = shell.output.splitlines()
    assert before == ([f"Task {TASK_ID}"] if command[0] == "submit" else [])
    assert see == f"The task goes on. See it with:  {COMMAND} watch {TASK_ID} --api {api.url}"
    assert stop == f"Stop it with:  {COMMAND} cancel {TASK_ID} --api {api.url}"


@pytest.mark.parametrize(
    "module", ["app.cli.failure", "app.cli.main", "typer", "app.cli.client", "httpx", "app.cli.console", "rich.table"]
)
def test_ctrl_c_while_the_command_starts_prints_no_traceback(tmp_path: Path, api: ScriptedApi, module: str) -> None:
    api.answers = [(200, {}, {"items": [], "next_cursor": None})]
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", CTRL_C, module, "list", "--api", api.url],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (130, "")


def test_a_terminal_that_knows_ascii_only_shows_a_replacement(shell: Shell) -> None:
    shell.settings = {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    leader, follower = os.openpty()
    try:
        with ended(shell.start_on(follower, "list", "--help")) as process:
            os.close(follower)
            shown = read_to_end(leader)
            assert process.wait(timeout=30) == 0, shown
    finally:
        os.close(leader)
    assert "content, code ?" in shown


def read_to_end(leader: int) -> str:
    parts: list[bytes] = []
    with suppress(OSError):  # Linux reports the end of a terminal as an error
        while part := os.read(leader, 4096):
            parts.append(part)
    return b"".join(parts).decode("ascii")
