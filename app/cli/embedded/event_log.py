"""The supervisor's log: every change as a JSON line, and as a short line on the terminal if there is one.

A line that cannot be written is lost, and never ends the stack: a disk that is full has room again some time. No
line is ever half of one: a part that such a disk took is taken back, so the next line begins where it should.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO

from app.cli.embedded.state import ProcessStatus, StackStatus


class EventLog:
    """The log of what changes from one status to the next. `terminal`: people watch standard output.

    `log` is open for reading and appending. It is not buffered: a supervisor that is killed leaves its last line
    behind, and a line that was refused is not refused again at the end.
    """

    def __init__(self, log: FileIO, *, terminal: bool, ready_text: str) -> None:
        _end_last_line(log)
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
        try:
            if self._lost:
                _append(self._log, _line("log_lines_lost", count=self._lost))
                self._lost = 0
            _append(self._log, _line(message, **fields))
        except OSError:
            self._lost += 1

    def _print(self, line: str) -> None:
        if self._terminal:
            # The log has it too, and a terminal that is gone must not end the stack. Not `print`: Python would keep
            # what it could not write, and fail with it once more at its end.
            with suppress(OSError):
                os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _end_last_line(log: FileIO) -> None:
    """Ends the line of which an earlier supervisor left a half: it was killed, or the machine, while it wrote."""
    end = log.seek(0, os.SEEK_END)
    if end > 0 and os.pread(log.fileno(), 1, end - 1) != b"\n":
        with suppress(OSError):
            log.write(b"\n")


def _append(log: FileIO, line: str) -> None:
    """Appends the line as a whole. Raises OSError if the disk has no room for all of it; then the log is as before."""
    content = line.encode()
    end = log.seek(0, os.SEEK_END)
    # A write to a disk that is nearly full takes a part and reports no error. Only the next one would.
    if log.write(content) != len(content):
        log.truncate(end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(message: str, **fields: str | float | None) -> str:
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "message": message, **fields}
    return json.dumps(line) + "\n"
