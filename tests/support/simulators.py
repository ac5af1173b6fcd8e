"""The simulator for tests: a process of its own on a free port."""

from __future__ import annotations

import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.servers import HOST, Server, http_answers, running_server


def running_simulator(*options: str) -> AbstractContextManager[Server]:
    """Starts a simulator. `options` are those of its command line, such as `--latency-ms`."""

    def build(folder: Path, port: int) -> Server:
        command = [sys.executable, "-m", "app.simulator", "--host", HOST, "--port", str(port), *options]
        return Server(command, folder, f"http://{HOST}:{port}", _answers)

    return running_server(build, "ao-simulator-", stop_signal=signal.SIGTERM)


def _answers(url: str) -> bool:
    return http_answers(f"{url}/health")
