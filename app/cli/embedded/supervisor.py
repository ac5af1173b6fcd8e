"""The supervisor of one stack: keeps the children alive until SIGTERM or SIGINT.

`python -m app.cli.embedded.supervisor FOLDER [--terminal]` runs the plan in the folder. It is one thread, one loop and
the standard library, because it idles for hours beside its children. If SIGKILL ends it, the children end with it (see
`tether`); the stores are crash-safe, and tasks under way run again later.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from app.cli.embedded.child import Child
from app.cli.embedded.event_log import EventLog
from app.cli.embedded.spec import StackPlan
from app.cli.embedded.state import StackStatus, StateFolder

STARTING_ROUND_SECONDS = 0.05
ROUND_SECONDS = 0.5
STOP_SECONDS = 10.0  # above the workers' grace on a local stack, 5 s (LOCAL_DEFAULTS in `stack_plan`)
LOCK_TRIES = 20
ALREADY_RUNNING = 3


class Supervisor:
    """The loop over the children of a plan; `stop` may be called from a signal handler."""

    def __init__(self, plan: StackPlan, folder: StateFolder, event_log: EventLog) -> None:
        self._plan = plan
        self._folder = folder
        self._event_log = event_log
        self._stopping = False
        self._unwritten = False
        self._phase = "starting"
        self._woken, self._wake = os.pipe()
        # The held end stays open for life and is never written to: its closing is the message (see `tether`).
        lifeline, self._lifeline_held = os.pipe()
        self._children = [
            Child(spec, log=folder.logs / f"{spec.name}.log", lifeline=lifeline, monotonic=time.monotonic)
            for spec in plan.children
        ]

    def stop(self) -> None:
        self._stopping = True

    def run(self) -> None:
        """Runs until stopped, or until somebody deletes the folder; the children are stopped before it returns."""
        self._listen_to_signals()
        try:
            # Without its folder no command would find this stack any more.
            while not self._stopping and self._folder.exists():
                self._round()
                self._rest()
        finally:
            self._stop_children()
            self._folder.remove_status()

    def _listen_to_signals(self) -> None:
        os.set_blocking(self._wake, False)  # `set_wakeup_fd` demands it
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # A signal without a handler of Python's own is not written to the pipe and would not end the wait.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())

    def _round(self) -> None:
        ready = {child.spec.name for child in self._children if child.ready}
        for child in self._children:
            child.tick(startable=ready.issuperset(child.spec.needs))
        if self._phase == "starting" and all(child.ready for child in self._children):
            self._phase = "running"
        self._write_status()

    def _rest(self) -> None:
        """Waits for the next round; a signal, also that of a child's death, ends the wait."""
        settled = all(child.ready for child in self._children)
        readable, _, _ = select.select([self._woken], [], [], ROUND_SECONDS if settled else STARTING_ROUND_SECONDS)
        if readable:
            os.read(self._woken, 512)

    def _write_status(self) -> None:
        """Logs what has changed, and writes the status file. If the disk is full, the next round writes it."""
        status = StackStatus(
            supervisor_pid=os.getpid(),
            phase=self._phase,
            api_url=self._plan.api_url,
            simulator_url=self._plan.simulator_url,
            simulated=self._plan.simulated,
            processes=[child.status() for child in self._children],
        )
        if self._event_log.record(status):
            self._unwritten = True
        if not self._unwritten:
            return
        try:
            self._folder.write_status(status)
        except OSError as error:
            self._event_log.record_unwritten(error.strerror)
        else:
            self._unwritten = False
            self._event_log.record_unwritten(None)

    def _stop_children(self) -> None:
        """Stops first the children that use others, then those that are used."""
        self._phase = "stopping"
        self._write_status()
        users = [child for child in self._children if child.spec.needs]
        used = [child for child in self._children if not child.spec.needs]
        for wave in (users, used):
            for child in wave:
                child.ask_to_stop()
            give_up_at = time.monotonic() + STOP_SECONDS
            for child in wave:
                child.wait_until_stopped(until=give_up_at)
        self._phase = "stopped"
        self._write_status()


def _take_lock(folder: StateFolder) -> IO[str] | None:
    """Takes the folder's lock, or returns None if another supervisor has it."""
    # Every reader of the status holds the lock for an instant, so one refusal proves nothing.
    for _ in range(LOCK_TRIES):
        held = folder.lock()
        if held is not None:
            return held
        time.sleep(0.05)
    return None


def main(arguments: Sequence[str]) -> int:
    folder = StateFolder(Path(arguments[0]))
    held = _take_lock(folder)
    if held is None:
        return ALREADY_RUNNING
    plan = StackPlan.read(folder.plan)
    with held, (folder.logs / "supervisor.log").open("a+b", buffering=0) as log:
        event_log = EventLog(log, terminal="--terminal" in arguments, ready_text=plan.ready_text)
        Supervisor(plan, folder, event_log).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
