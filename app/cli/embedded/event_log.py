"""The supervisor's log: every change as a JSON line, and as a short line on the terminal if there is one.

A line that cannot be written is lost, and never ends the stack: a disk that is full has room again some time.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO

from app.cli.embedded.state import ProcessStatus, StackStatus


class EventLog:
    """The log of what changes from one status to the next. `terminal`: people watch standard output.

    `log` is not buffered: a supervisor that is killed leaves its last line behind, and a line that was refused is not
    refused again at the end.
    """

    def __init__(self, log: FileIO, *, terminal: bool, ready_text: str) -> None:
        self._log = log
        self._terminal = terminal
        self._ready_text = ready_text
        self._before: StackStatus | None = None
        self._lost = 0
        self._unwritten: str | None = None

    def record(self, status: StackStatus) -> bool:
        """Logs what is new in the status; returns False if nothing is."""
        before, self._before = self._before, status
        if status == before:
            return False
        known = {process.name: process for process in before.processes} if before else {}
        for process in status.processes:
            self._record_process(process, known.get(process.name), stopping=status.phase in ("stopping", "stopped"))
        if before is None or before.phase != status.phase:
            self._log_event("stack_" + status.phase, pid=status.supervisor_pid, api=status.api_url)
            if status.phase == "running":
                self._print(self._ready_text)
        return True

    def record_unwritten(self, reason: str | None) -> None:
        """Logs, once for each reason, that the status could not be written; None: it is written."""
        before, self._unwritten = self._unwritten, reason
        if reason is not None and reason != before:
            self._log_event("status_not_written", reason=reason)
            self._print(f"  The state folder cannot be written ({reason}); the stack goes on.")

    def _record_process(self, process: ProcessStatus, before: ProcessStatus | None, *, stopping: bool) -> None:
        pid, last_exit = (None, None) if before is None else (before.pid, before.last_exit)
        # A child that could not be started had no pid before either, but has another end.
        died = pid is not None or last_exit != process.last_exit
        if died and process.pid is None and not stopping:
            delay = process.restart_delay_seconds or 0.0
            self._log_event("child_died", child=process.name, reason=process.last_exit, restart_delay_seconds=delay)
            self._print(f"  {process.name:<10} died ({process.last_exit}); starts again in {delay:g} s")
        if process.ready and not (before is not None and before.ready):
            self._log_event("child_ready", child=process.name, pid=process.pid, url=process.url)
            self._print(f"  {process.name:<10} ready   {process.url}")

    def _log_event(self, message: str, **fields: str | float | None) -> None:
        lines = [_line(message, **fields)]
        if self._lost:
            lines.insert(0, _line("log_lines_lost", count=self._lost))
        try:
            self._log.write("".join(lines).encode())
            self._lost = 0
        except OSError:
            self._lost += 1

    def _print(self, line: str) -> None:
        if self._terminal:
            # The log has it too, and a terminal that is gone must not end the stack. Not `print`: Python would keep
            # what it could not write, and fail with it once more at its end.
            with suppress(OSError):
                os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _line(message: str, **fields: str | float | None) -> str:
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "message": message, **fields}
    return json.dumps(line) + "\n"
