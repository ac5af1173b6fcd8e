"""The simulator for tests: a process of its own on a free port, stopped by its own id."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.servers import HOST, Server, free_port


@contextmanager
def running_simulator(*options: str) -> Iterator[Server]:
    """A simulator; `options` are those of its command line, such as `--latency-ms`."""
    port = free_port()
    command = [sys.executable, "-m", "app.simulator", "--host", HOST, "--port", str(port), *options]
    folder = Path(tempfile.mkdtemp(prefix="ao-simulator-"))
    server = Server(command, folder, f"http://{HOST}:{port}", _answers)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
