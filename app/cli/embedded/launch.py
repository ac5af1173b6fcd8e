"""Starts and stops the supervisor of a stack, and waits until what was asked for is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from app.cli.embedded.spec import StackPlan
from app.cli.embedded.state import StackStatus, StateFolder
from app.cli.failure import CommandFailed

START_SECONDS = 90.0
STOP_SECONDS = 45.0
HOPELESS_RESTARTS = 4
_POLL_SECONDS = 0.05
_LOG_LINES = 8
_TETHER = str(Path(__file__).with_name("tether.py"))


class StackFailed(CommandFailed):
    """The stack did not become ready, or did not stop; the message says which part and where to read on."""


def become_supervisor(folder: StateFolder, plan: StackPlan) -> NoReturn:
    """Turns this process into the supervisor, with the terminal: what was loaded until here leaves the memory."""
    _prepare(folder, plan)
    command = [*_supervisor_command(folder), "--terminal"]
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, no shell wanted


def start_supervisor(folder: StateFolder, plan: StackPlan, *, tethered: bool) -> subprocess.Popen[bytes]:
    """Starts it beside this process: for good, or `tethered`, so that it ends with this process."""
    _prepare(folder, plan)
    command = _supervisor_command(folder)
    lifeline, held = os.pipe()
    if tethered:
        os.set_inheritable(held, False)
        command = [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), str(lifeline), *command]
    with (folder.logs / "supervisor.err").open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=(lifeline,) if tethered else (),
            start_new_session=True,
        )
    os.close(lifeline)
    if not tethered:
        os.close(held)
    return process


def wait_until_ready(
    folder: StateFolder, supervisor: subprocess.Popen[bytes], *, on_status: Callable[[StackStatus], None]
) -> StackStatus:
    """Waits for every child. Raises StackFailed after START_SECONDS, or earlier when it has become hopeless."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        status = folder.read_status()
        if status is not None:
            on_status(status)
            if status.ready:
                return status
            if any(not process.ready and process.restarts >= HOPELESS_RESTARTS for process in status.processes):
                break
        if supervisor.poll() is not None:
            raise StackFailed(f"The stack's supervisor ended ({supervisor.returncode}); see {folder.logs}")
        time.sleep(_POLL_SECONDS)
    raise StackFailed(_explain(folder, folder.read_status()))


def stop_stack(folder: StateFolder) -> bool:
    """Stops the stack and waits for its end; False when none runs. Raises StackFailed when it does not end."""
    if not folder.running():
        return False
    status = _first_status(folder)
    if status is None:
        return not folder.running()
    os.kill(status.supervisor_pid, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS
    while folder.running():
        if time.monotonic() > give_up_at:
            raise StackFailed(f"The supervisor (pid {status.supervisor_pid}) did not stop within {STOP_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
    return True


def _first_status(folder: StateFolder) -> StackStatus | None:
    """A supervisor that has only just taken the lock writes its status within a moment."""
    give_up_at = time.monotonic() + STOP_SECONDS
    while folder.running() and time.monotonic() < give_up_at:
        status = folder.read_status()
        if status is not None:
            return status
        time.sleep(_POLL_SECONDS)
    return None


def _prepare(folder: StateFolder, plan: StackPlan) -> None:
    """Leaves the plan, and takes away what a supervisor that was killed had said: nobody shall take it for the new."""
    if not folder.running():
        folder.remove_status()
    plan.write(folder.plan)


def _supervisor_command(folder: StateFolder) -> list[str]:
    return [sys.executable, "-m", "app.cli.embedded.supervisor", str(folder.path)]


def _explain(folder: StateFolder, status: StackStatus | None) -> str:
    if status is None:
        return f"The stack did not start within {START_SECONDS:g} s; see {folder.logs}"
    missing = [process for process in status.processes if not process.ready]
    lines = [f"The stack did not become ready: {', '.join(process.name for process in missing)} did not answer."]
    for process in (process for process in missing if process.restarts or process.pid):
        log = folder.logs / f"{process.name}.log"
        lines += [f"Last lines of {log}:", *(f"  {line}" for line in last_lines(log))]
    return "\n".join(lines)


def last_lines(log: Path, count: int = _LOG_LINES) -> Sequence[str]:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    return text.splitlines()[-count:]
