"""One child process: started, probed, started again after its death, stopped.

The delay before a new start doubles with every death in a row, and starts afresh once the child has been ready for a
while. The clock is injected. Use a child from one thread only: the kernel ties it to the thread that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.cli.embedded import probes
from app.cli.embedded.spec import ChildSpec
from app.cli.embedded.state import ProcessStatus

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 10.0
STEADY_SECONDS = 10.0
PROBE_AGAIN_SECONDS = 2.0
LOG_BYTES_LIMIT = 5_000_000  # one old log is kept beside the new one
_TETHER = str(Path(__file__).with_name("tether.py"))


def restart_delay_seconds(deaths_in_a_row: int) -> float:
    # Capped, because a float overflows beyond 2.0 ** 1023.
    exponent = min(max(0, deaths_in_a_row - 1), 10)
    return min(FIRST_DELAY_SECONDS * float(2**exponent), LONGEST_DELAY_SECONDS)


def is_ready(spec: ChildSpec) -> bool:
    if spec.probe == "ping":
        return probes.answers_ping(spec.port)
    if spec.probe == "http":
        return probes.answers_http(spec.port, spec.path)
    return probes.accepts_connections(spec.port)


class Child:
    """One child of the supervisor. `lifeline` is the end of the pipe that the tether watches (see `tether`)."""

    def __init__(self, spec: ChildSpec, *, log: Path, lifeline: int, monotonic: Callable[[], float]) -> None:
        self.spec = spec
        self.ready = False
        self.starts = 0
        self._log = log
        self._lifeline = lifeline
        self._monotonic = monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths_in_a_row = 0
        self._last_exit: str | None = None
        self._start_at = 0.0
        self._ready_since = 0.0
        self._probe_at = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None

    def tick(self, *, startable: bool) -> None:
        """Does one round for the child: records its death, starts it when it is due, probes whether it is ready."""
        if self._process is not None and self._process.poll() is not None:
            self._record_death(self._process)
        now = self._monotonic()
        if self._process is None:
            if startable and now >= self._start_at:
                self._start()
            return
        if now >= self._probe_at:
            self._probe(now)

    def _start(self) -> None:
        self.starts += 1
        self._probe_at = 0.0
        try:
            self._process = self._launch()
        except OSError as error:
            # The disk is full, or no further process is allowed: as after a death, another try may help.
            self._record_end(f"not started: {error.strerror}")

    def _launch(self) -> subprocess.Popen[bytes]:
        self._rotate_log()
        command = [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), str(self._lifeline), *self.spec.command]
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the plan's own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.spec.environment},
                pass_fds=(self._lifeline,),
                # A group of its own: Ctrl+C on the terminal reaches the supervisor alone, which stops the children in
                # order, and what a child leaves behind can be killed by its group.
                start_new_session=True,
            )

    def _rotate_log(self) -> None:
        with suppress(FileNotFoundError):
            if self._log.stat().st_size > LOG_BYTES_LIMIT:
                self._log.replace(self._log.with_suffix(".1.log"))

    def _probe(self, now: float) -> None:
        was_ready, self.ready = self.ready, is_ready(self.spec)
        if not self.ready:
            return
        if not was_ready:
            self._ready_since = now
        if now - self._ready_since >= STEADY_SECONDS:
            self._deaths_in_a_row = 0
        self._probe_at = now + PROBE_AGAIN_SECONDS

    def _record_death(self, process: subprocess.Popen[bytes]) -> None:
        # Before a new start: a grandchild that lives on would still hold the port.
        _kill_group(process.pid)
        self._process = None
        self._record_end(describe_exit(process.returncode))

    def _record_end(self, reason: str) -> None:
        self.ready = False
        self._last_exit = reason
        self._deaths_in_a_row += 1
        self._start_at = self._monotonic() + restart_delay_seconds(self._deaths_in_a_row)

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait_until_stopped(self, *, until: float) -> None:
        """Waits for the end; kills the child at `until` on the clock, and in any case what it left behind."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, until - self._monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _kill_group(self._process.pid)
        self._process = None
        self.ready = False

    def status(self) -> ProcessStatus:
        waiting = self._process is None and self._deaths_in_a_row > 0
        return ProcessStatus(
            name=self.spec.name,
            kind=self.spec.kind,
            pid=None if self._process is None else self._process.pid,
            url=self.spec.url,
            ready=self.ready,
            restarts=max(0, self.starts - 1),
            last_exit=self._last_exit,
            restart_delay_seconds=restart_delay_seconds(self._deaths_in_a_row) if waiting else None,
            program=self.spec.program,
        )


def describe_exit(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"


def _kill_group(group: int) -> None:
    """Ends the processes that the child may have left behind; each child leads a group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
