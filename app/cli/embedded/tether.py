"""A command that never outlives the supervisor, even if SIGKILL ends that one.

Usage: `python -I -S tether.py PARENT_PID LIFELINE_FD [--watch] COMMAND...`, standard library only.

On Linux the kernel does it: this process asks for a signal at its parent's death and then becomes the command, so no
wrapper stays in memory. Elsewhere (or with `--watch`) this process stays and watches the lifeline, a pipe whose other
end only the supervisor holds: end of file means that the supervisor is gone.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def exec_with_death_signal(parent_pid: int, command: Sequence[str]) -> None:
    """Becomes the command, which the kernel kills if the parent dies. Never returns."""
    # The signal fires at the death of the parent's thread that made this process (prctl(2)): see `child`.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "The kernel refused PR_SET_PDEATHSIG")
    if os.getppid() != parent_pid:  # the parent died before the signal was set, which therefore never comes
        sys.exit(1)
    os.execv(command[0], list(command))  # noqa: S606 - the supervisor's own command, no shell wanted


def run_and_watch(lifeline: int, command: Sequence[str]) -> int:
    """Runs the command until it ends or the lifeline does; passes signals on. Returns the exit code."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for expected in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(expected, lambda *_: None)  # the number arrives through the pipe, also one that comes very early
    child = subprocess.Popen(list(command))  # noqa: S603 - the supervisor's own command
    while child.poll() is None:
        readable, _, _ = select.select([lifeline, woken], [], [], 1.0)
        if lifeline in readable:
            child.kill()
            child.wait()
        elif woken in readable:
            for number in os.read(woken, 512):
                if number != signal.SIGCHLD:
                    child.send_signal(number)
    return child.returncode


def main(arguments: Sequence[str]) -> int:
    parent_pid, lifeline, command = int(arguments[0]), int(arguments[1]), list(arguments[2:])
    if command[0] == "--watch":
        return run_and_watch(lifeline, command[1:])
    if sys.platform != "linux":
        return run_and_watch(lifeline, command)
    os.close(lifeline)
    exec_with_death_signal(parent_pid, command)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
