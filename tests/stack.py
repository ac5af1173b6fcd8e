"""The whole system for a test: real API, workers and simulator as processes, on servers that the test may kill.

Every process is started with the environment that a person would give it, logs JSON into its own file, and is stopped
by its own id. `Stack.kill` is SIGKILL; `Stack.start` brings the same part back on the same port.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.servers import HOST, Server, broker_server, free_port, store_server

START_SECONDS = 30.0
LOOK_SECONDS = 0.05
TERMINAL = frozenset({"completed", "failed", "cancelled"})
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")


@dataclass
class Part:
    """One process of the product. `probe` is the URL that answers 200 when it is ready."""

    name: str
    module: Sequence[str]
    environment: Mapping[str, str]
    probe: str
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a fixed command of this module
                [sys.executable, "-m", *self.module],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > give_up_at:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.name} does not get ready:\n{tail}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.probe, timeout=2).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def stop(self, signal_number: int = signal.SIGTERM, *, seconds: float = 30) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log_lines(self) -> list[dict[str, Any]]:
        """The process's JSON log, without what other programs wrote into it."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@dataclass
class Stack:
    """API, workers, simulator, Valkey and store; `client` speaks to the API."""

    parts: dict[str, Part]
    servers: dict[str, Server]
    api_url: str
    simulator_url: str
    mongo_uri: str
    client: httpx.Client

    def submit(self, text: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/agent/execute", json={"task": text, **fields}, headers=dict(headers or {}))
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def get(self, task_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/tasks/{task_id}")
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Looks until the condition holds; fails the test when it does not in time."""
        give_up_at = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up_at:
                raise AssertionError(f"the condition did not hold within {seconds} s")
            time.sleep(LOOK_SECONDS)

    def wait(self, task_id: str, *, seconds: float = 60) -> dict[str, Any]:
        """The finished task; fails the test when it does not end in time."""
        give_up_at = time.monotonic() + seconds
        while True:
            try:
                task = self.get(task_id)
            except httpx.HTTPError:
                task = {}
            if task.get("status") in TERMINAL:
                return task
            if time.monotonic() > give_up_at:
                raise AssertionError(f"task {task_id} did not end within {seconds} s: {task.get('status')}")
            time.sleep(LOOK_SECONDS)

    def calls(self, task_id: str | None = None) -> Any:
        """What the simulator counted."""
        query = {"task_id": task_id} if task_id else {}
        return httpx.get(f"{self.simulator_url}/simulator/calls", params=query, timeout=10).json()

    def kill(self, name: str) -> None:
        if name in self.parts:
            self.parts[name].stop(signal.SIGKILL)
        else:
            self.servers[name].stop(signal.SIGKILL)

    def start(self, name: str) -> None:
        if name in self.parts:
            self.parts[name].start()
        else:
            self.servers[name].start()


@contextmanager
def running_stack(
    *, workers: int = 1, settings: Mapping[str, str] | None = None, simulator: Sequence[str] = ()
) -> Iterator[Stack]:
    """Everything, started in order, stopped at the end. `settings` are further environment variables of all parts."""
    with tempfile.TemporaryDirectory(prefix="ao-stack-") as folder, store_server() as store, broker_server() as broker:
        stack = _build(Path(folder), store, broker, workers=workers, settings=settings or {}, simulator=simulator)
        try:
            for part in stack.parts.values():
                part.start()
            yield stack
        finally:
            stack.client.close()
            for part in reversed(stack.parts.values()):
                part.stop(signal.SIGKILL)


def _build(
    folder: Path, store: Server, broker: Server, *, workers: int, settings: Mapping[str, str], simulator: Sequence[str]
) -> Stack:
    api_port, simulator_port = free_port(), free_port()
    simulator_url = f"http://{HOST}:{simulator_port}"
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "MONGO_URI": store.url,
        "REDIS_URL": broker.url,
        "AGENT_API_PORT": str(api_port),
        "API_RATE_LIMIT_PER_MINUTE": "1000000",
        "OPENAI_API_KEY": "simulated",
        "OPENAI_BASE_URL": f"{simulator_url}/v1",
        "ANTHROPIC_API_KEY": "simulated",
        "ANTHROPIC_BASE_URL": simulator_url,
        "TAVILY_API_KEY": "simulated",
        "TAVILY_BASE_URL": simulator_url,
        "LOG_FORMAT": "json",
        "AGENT_LEASE_SECONDS": "3",
        "AGENT_TASK_RETRY_BASE_SECONDS": "0.1",
        **settings,
    }
    parts = {
        "simulator": Part(
            "simulator",
            ["app.simulator", "--host", HOST, "--port", str(simulator_port), *simulator],
            environment,
            f"{simulator_url}/health",
            folder / "simulator.log",
        ),
        "api": Part("api", ["app.main"], environment, f"http://{HOST}:{api_port}/ready", folder / "api.log"),
    }
    for number in range(1, workers + 1):
        port = free_port()
        name = "worker" if number == 1 else f"worker-{number}"
        own = {"AGENT_METRICS_PORT": str(port), "AGENT_WORKER_NAME": name}
        url = f"http://{HOST}:{port}/health"
        parts[name] = Part(name, ["worker"], {**environment, **own}, url, folder / f"{name}.log")
    return Stack(
        parts=parts,
        servers={"store": store, "broker": broker},
        api_url=f"http://{HOST}:{api_port}",
        simulator_url=simulator_url,
        mongo_uri=store.url,
        client=httpx.Client(base_url=f"http://{HOST}:{api_port}", timeout=30),
    )
