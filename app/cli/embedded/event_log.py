"""The supervisor's log: every change as a JSON line, and as a short line on the terminal if there is one."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import IO

from app.cli.embedded.state import ProcessStatus, StackStatus


class EventLog:
    """The log of what changes from one status to the next. `terminal`: people watch standard output."""

    def __init__(self, log: IO[str], *, terminal: bool, ready_text: str) -> None:
        self._log = log
        self._terminal = terminal
        self._ready_text = ready_text
        self._before: StackStatus | None = None

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

    def _record_process(self, process: ProcessStatus, before: ProcessStatus | None, *, stopping: bool) -> None:
        if before is not None and before.pid is not None and process.pid is None and not stopping:
            delay = process.restart_delay_seconds or 0.0
            self._log_event("child_died", child=process.name, reason=process.last_exit, restart_delay_seconds=delay)
            self._print(f"  {process.name:<10} died ({process.last_exit}); starts again in {delay:g} s")
        if process.ready and not (before is not None and before.ready):
            self._log_event("child_ready", child=process.name, pid=process.pid, url=process.url)
            self._print(f"  {process.name:<10} ready   {process.url}")

    def _log_event(self, message: str, **fields: str | float | None) -> None:
        line = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "message": message, **fields}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()  # a supervisor that is killed must leave its last line behind

    def _print(self, line: str) -> None:
        if self._terminal:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
