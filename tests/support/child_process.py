"""The child processes of a test: each writes its output into a log file and is stopped by its own id.

Whoever starts a process keeps its handle and waits for its end. A handle that is dropped warns when it is collected,
which fails another test, at any later time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def start_process(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts the process with nothing else in its environment, in `folder` or in that of this process.

    Appends its output to `log`.
    """
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  a command that test code has put together
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches pytest alone, which then stops each child by its id
        )


def stop_process(process: subprocess.Popen[bytes], signal_number: int, *, seconds: float) -> None:
    """Sends the signal and waits for the end. Sends SIGKILL if the process still runs after `seconds`."""
    process.send_signal(signal_number)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kills the process at the end of the block, if it still runs then, and waits for its end."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
