"""The database of a soak: the embedded one, or one that a folder's `up.sh` starts and `down.sh` stops."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.servers import START_SECONDS, Server, build_store, free_port, store_answers

URI_LINE = "MONGO_URI="
STOP_SECONDS = 30.0


class ScriptedStore(Server):
    """A server that a script starts again after it was killed."""

    def start(self) -> None:
        subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  a script the caller named
        give_up_at = time.monotonic() + START_SECONDS
        while not self.answers(self.url):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{self.url} does not answer")
            time.sleep(0.05)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Signals the process that listens on the port, and the server behind it that it is connected to."""
        listening = _listening()
        front = listening[int(self.url.rsplit(":", 1)[1].partition("/")[0])]
        peers: list[Sequence[Any]] = [connection.raddr for connection in front.net_connections("tcp")]
        behind = {listening[peer[1]] for peer in peers if len(peer) > 1 and peer[1] in listening}
        victims = {front, *behind}
        for process in victims:
            process.send_signal(signal_number)
        psutil.wait_procs(victims, timeout=STOP_SECONDS)


def _listening() -> dict[int, psutil.Process]:
    """Finds the processes that listen on TCP ports of this machine."""
    found: dict[int, psutil.Process] = {}
    for connection in psutil.net_connections("tcp"):
        local: Sequence[Any] = connection.laddr
        if connection.status == psutil.CONN_LISTEN and connection.pid is not None:
            found[local[1]] = psutil.Process(connection.pid)
    return found


@contextmanager
def scripted_store(folder: Path) -> Iterator[Server]:
    """Starts a server by the folder's `up.sh` and stops it by its `down.sh`; the data stays."""
    up = [str(folder / "up.sh")]
    answer = subprocess.run(up, check=True, capture_output=True, text=True)  # noqa: S603  a script the caller named
    url = next(line for line in reversed(answer.stdout.splitlines()) if line.startswith(URI_LINE))
    try:
        yield ScriptedStore(up, folder, url.removeprefix(URI_LINE), store_answers)
    finally:
        subprocess.run([str(folder / "down.sh")], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  the same folder


@contextmanager
def embedded_store(folder: Path) -> Iterator[Server]:
    """Starts the embedded server with its data in the folder, where the data stays."""
    folder.mkdir(parents=True, exist_ok=True)
    server = build_store(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
