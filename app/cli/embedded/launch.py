"""The start and the end of a stack's supervisor, and the wait until either is complete."""

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
STOP_SECONDS = 45.0  # the supervisor stops its children in two waves of up to 10 s
HOPELESS_RESTARTS = 4  # a child that died this often within START_SECONDS has a cause that waiting does not remove
_POLL_SECONDS = 0.05
_LOG_LINES = 8
_TETHER = str(Path(__file__).with_name("tether.py"))


class StackFailed(CommandFailed):
    """A stack that did not become ready, or did not stop; the message names the part and its log."""


class OutlivingProcess(subprocess.Popen[bytes]):
    """A process that outlives the one that started it. Whoever stops the stack waits for its end (`stop_stack`)."""

    def __del__(self) -> None:
        """Warns of nothing, as `Popen` does if its process still runs: this one is meant to."""


def become_supervisor(folder: StateFolder, plan: StackPlan) -> NoReturn:
    """Turns this process into the supervisor of the terminal. It never returns; all modules loaded so far are gone."""
    _prepare(folder, plan)
    command = [*_supervisor_command(folder), "--terminal"]
    sys.stdout.flush()  # exec drops what Python still buffers
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, no shell wanted


def start_supervisor(folder: StateFolder, plan: StackPlan, *, tethered: bool) -> subprocess.Popen[bytes]:
    """Starts the supervisor beside this process: for good, or `tethered`, which ends it with this process."""
    _prepare(folder, plan)
    command = _supervisor_command(folder)
    lifeline, held = os.pipe()
    if tethered:
        os.set_inheritable(held, False)
        command = [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), str(lifeline), *command]
    kind: type[subprocess.Popen[bytes]] = subprocess.Popen if tethered else OutlivingProcess
    with (folder.logs / "supervisor.err").open("ab") as errors:
        process = kind(
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
    # Tethered, `held` stays open: the kernel closes it with this process, and the other end reads end of file.
    return process


def end_supervisor(folder: StateFolder, supervisor: subprocess.Popen[bytes]) -> None:
    """Stops the stack whose supervisor this process has started, and waits for its end. Raises StackFailed."""
    # By its own id, not by that in the status file: that one may be another supervisor, which was there first.
    supervisor.terminate()
    try:
        supervisor.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _not_stopped(folder, supervisor.pid) from error


def wait_until_ready(
    folder: StateFolder, supervisor: subprocess.Popen[bytes], *, on_status: Callable[[StackStatus], None]
) -> StackStatus:
    """Waits for every child. Raises StackFailed after START_SECONDS, or earlier if there is no hope."""
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
    """Stops the stack and waits for its end; returns False if none runs. Raises StackFailed if it does not end."""
    if not folder.running():
        return False
    status = _first_status(folder)
    if status is None:
        return not folder.running()
    os.kill(status.supervisor_pid, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS
    while folder.running():
        if time.monotonic() > give_up_at:
            raise _not_stopped(folder, status.supervisor_pid)
        time.sleep(_POLL_SECONDS)
    return True


def _not_stopped(folder: StateFolder, pid: int) -> StackFailed:
    return StackFailed(
        f"The supervisor (pid {pid}) did not stop within {STOP_SECONDS:g} s; "
        f"see {folder.logs}, or kill it: its children end with it"
    )


def _first_status(folder: StateFolder) -> StackStatus | None:
    """Waits for the status of a supervisor that has only just taken the lock."""
    give_up_at = time.monotonic() + STOP_SECONDS
    while folder.running() and time.monotonic() < give_up_at:
        status = folder.read_status()
        if status is not None:
            return status
        time.sleep(_POLL_SECONDS)
    return None


def _prepare(folder: StateFolder, plan: StackPlan) -> None:
    """Writes the plan, and removes the status of a supervisor that was killed."""
    # Otherwise the old status would be taken for the new supervisor's as soon as that one has the lock.
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
    shortage = folder.read_shortage()
    return "\n".join(lines if shortage is None else [*lines, shortage])


def last_lines(log: Path, count: int = _LOG_LINES) -> Sequence[str]:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    return text.splitlines()[-count:]
