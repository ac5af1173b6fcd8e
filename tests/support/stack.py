"""The whole system for a test: real API, workers and simulator as processes, on servers that the test may kill.

Every process starts with the environment that a person would give it, and logs JSON into its own file. `Stack.kill`
sends SIGKILL; `Stack.start` starts the same part again on the same port. A `Link` puts a proxy between a part and a
server, so that the network between the two can fail.
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pymongo import MongoClient

from app.domain.task import TERMINAL
from app.llm.simulated_models import CHAINS
from app.settings import StoreSettings
from tests.support.child_process import start_process, stop_process
from tests.support.proxy import TcpProxy, running_proxy
from tests.support.servers import HOST, Server, broker_server, free_port, http_answers, store_server

START_SECONDS = 30.0
POLL_SECONDS = 0.05
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")


class NotInTime(Exception):
    """The failure of a condition to hold in time.

    It is no AssertionError: the chaos suite expects a story to fail without its rule, and a failed set-up is no proof.
    """


@dataclass(frozen=True)
class Link:
    """The network between a part and the server that one of its environment variables names."""

    part: str
    variable: str


@dataclass
class Part:
    """One process of the product. `probe` is the URL that answers 200 as soon as it is ready."""

    name: str
    module: Sequence[str]
    environment: Mapping[str, str]
    probe: str
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Starts the process and waits until it is ready. Stops it again, and raises RuntimeError, if it is not."""
        self.launch()
        try:
            self.wait_until_ready()
        except RuntimeError:
            self.stop(signal.SIGKILL)
            raise

    def launch(self) -> None:
        """Starts the process without waiting for it, because some tests start one that is meant to die soon."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already: its handle would be lost, and nobody would end it")
        command = [sys.executable, "-m", *self.module]
        self.process = start_process(command, environment=self.environment, log=self.log)

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while not self.ready:
            if self.process is None or self.process.poll() is not None or time.monotonic() > give_up_at:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.name} ended, or was not ready within {START_SECONDS:g} s:\n{tail}")
            time.sleep(0.02)

    @property
    def ready(self) -> bool:
        """Returns whether the probe answers 200 now."""
        return http_answers(self.probe)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send_signal(self, signal_number: int) -> None:
        """Sends a signal after which the process still exists, such as SIGSTOP or SIGCONT."""
        if self.process is None:
            raise RuntimeError(f"{self.name} is not running")
        self.process.send_signal(signal_number)

    def stop(self, signal_number: int = signal.SIGTERM, *, seconds: float = 30) -> None:
        process, self.process = self.process, None
        if process is not None:
            stop_process(process, signal_number, seconds=seconds)

    def log_lines(self) -> list[dict[str, Any]]:
        """Reads the JSON lines of the process's log, without other programs' output in it."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def stopped(part: Part) -> Iterator[None]:
    """Stops the part, and starts it again at the end of the block."""
    part.stop()
    try:
        yield
    finally:
        part.start()


@dataclass
class Stack:
    """The APIs, workers, simulator, Valkey and store. `client` calls the first API."""

    parts: dict[str, Part]
    servers: dict[str, Server]
    links: dict[Link, TcpProxy]
    api_url: str
    simulator_url: str
    mongo_uri: str
    database_name: str
    client: httpx.Client
    simulator: httpx.Client

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

    def heal(self) -> None:
        """Repairs every link."""
        for proxy in self.links.values():
            proxy.heal()

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Polls the condition until it holds. Raises NotInTime if it does not hold in time."""
        give_up_at = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up_at:
                raise NotInTime(f"the condition did not hold within {seconds} s")
            time.sleep(POLL_SECONDS)

    def wait(self, task_id: str, *, seconds: float = 60) -> dict[str, Any]:
        """Waits for the end of the task and returns it. Fails the test if it does not end in time."""
        give_up_at = time.monotonic() + seconds
        while True:
            try:
                task = self.get(task_id)
            except httpx.HTTPError:  # a story may kill or cut off the API meanwhile
                task = {}
            if task.get("status") in TERMINAL:
                return task
            if time.monotonic() > give_up_at:
                raise AssertionError(f"task {task_id} did not end within {seconds} s: {task.get('status')}")
            time.sleep(POLL_SECONDS)

    def calls(self, task_id: str | None = None) -> Any:
        """Reads the calls that the simulator counted, of one task or of all."""
        query = {"task_id": task_id} if task_id else {}
        return self.simulator.get("/simulator/calls", params=query).json()

    def logged_errors(self) -> list[dict[str, Any]]:
        """Reads what all parts have logged at level error or critical."""
        lines = [line for part in self.parts.values() for line in part.log_lines()]
        return [line for line in lines if line["level"] in ("error", "critical")]

    @contextmanager
    def database(self) -> Iterator[Any]:
        """Opens the product's database directly, not through any link."""
        with MongoClient[dict[str, Any]](self.mongo_uri, tz_aware=True) as client:
            yield client[self.database_name]

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


@dataclass(frozen=True)
class Plan:
    """The parts of a stack. `settings` are further environment variables of all parts.

    `modules` replaces the product's own modules, for all parts of the kind `api` or `worker` or for one part by name.
    """

    workers: int = 1
    apis: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    simulator: Sequence[str] = ()
    modules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    links: Sequence[Link] = ()


@contextmanager
def running_stack(plan: Plan = Plan(), *, store: Server | None = None) -> Iterator[Stack]:
    """Starts everything in order and stops it at the end. Uses `store` if one is given, which must run already."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="ao-stack-")))
        store = store or cleanup.enter_context(store_server())
        broker = cleanup.enter_context(broker_server())
        stack = _build(folder, store, broker, plan)
        for link in plan.links:
            _insert_proxy(stack, link, cleanup)
        try:
            for part in stack.parts.values():
                part.start()
            yield stack
        finally:
            stack.client.close()
            stack.simulator.close()
            for part in reversed(stack.parts.values()):
                part.stop(signal.SIGKILL)


def _insert_proxy(stack: Stack, link: Link, cleanup: ExitStack) -> None:
    part = stack.parts[link.part]
    url = part.environment[link.variable]
    address = urlsplit(url)
    proxy = cleanup.enter_context(running_proxy(str(address.hostname), int(address.port or 0)))
    stack.links[link] = proxy
    part.environment = {**part.environment, link.variable: url.replace(f":{address.port}", f":{proxy.port}", 1)}


def _build(folder: Path, store: Server, broker: Server, plan: Plan) -> Stack:
    simulator_port = free_port()
    simulator_url = f"http://{HOST}:{simulator_port}"
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "MONGO_URI": store.url,
        "REDIS_URL": broker.url,
        "API_RATE_LIMIT_PER_MINUTE": "1000000",  # the highest value; a test submits faster than the default allows
        "OPENAI_API_KEY": "simulated",
        "OPENAI_BASE_URL": f"{simulator_url}/v1",
        "ANTHROPIC_API_KEY": "simulated",
        "ANTHROPIC_BASE_URL": simulator_url,
        "TAVILY_API_KEY": "simulated",
        "TAVILY_BASE_URL": simulator_url,
        **CHAINS,
        "LOG_FORMAT": "json",
        "AGENT_LEASE_SECONDS": "3",  # not 30, so that a lost run is requeued within a test's time
        "AGENT_TASK_RETRY_BASE_SECONDS": "0.1",
        **plan.settings,
    }
    parts = {
        "simulator": Part(
            "simulator",
            ["app.simulator", "--host", HOST, "--port", str(simulator_port), *plan.simulator],
            environment,
            f"{simulator_url}/health",
            folder / "simulator.log",
        )
    }
    for name in _names("api", plan.apis):
        port = free_port()
        own = {"AGENT_API_PORT": str(port)}
        module = plan.modules.get(name, plan.modules.get("api", ["app.main"]))
        url = f"http://{HOST}:{port}/ready"
        parts[name] = Part(name, module, {**environment, **own}, url, folder / f"{name}.log")
    for name in _names("worker", plan.workers):
        port = free_port()
        own = {"AGENT_METRICS_PORT": str(port), "AGENT_WORKER_NAME": name}
        module = plan.modules.get(name, plan.modules.get("worker", ["worker"]))
        url = f"http://{HOST}:{port}/health"
        parts[name] = Part(name, module, {**environment, **own}, url, folder / f"{name}.log")
    api_url = f"http://{HOST}:{parts['api'].environment['AGENT_API_PORT']}"
    return Stack(
        parts=parts,
        servers={"store": store, "broker": broker},
        links={},
        api_url=api_url,
        simulator_url=simulator_url,
        mongo_uri=store.url,
        database_name=plan.settings.get("MONGO_DB_NAME", StoreSettings().database),
        client=httpx.Client(base_url=api_url, timeout=30),
        simulator=httpx.Client(base_url=simulator_url, timeout=30),
    )


def _names(kind: str, count: int) -> list[str]:
    return [kind if number == 1 else f"{kind}-{number}" for number in range(1, count + 1)]
