"""Stacks for tests: the real stores, and a small web server in place of the API.

Everything runs under a real supervisor process; what a test starts is stopped by its own id at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import psutil

from app.cli.embedded.free_ports import HOST, free_ports
from app.cli.embedded.launch import start_supervisor, wait_until_ready
from app.cli.embedded.spec import ChildSpec, StackPlan
from app.cli.embedded.stack_plan import valkey_spec
from app.cli.embedded.state import ProcessStatus, StackStatus, StateFolder
from app.cli.embedded.store_server import embedded_store_server
from tests.support.child_process import ended

WAIT_SECONDS = 30.0


def web_spec(port: int, *, needs: tuple[str, ...] = ()) -> ChildSpec:
    command = [sys.executable, "-m", "http.server", str(port), "--bind", HOST]
    return ChildSpec("api", "api", command, f"http://{HOST}:{port}", port, "http", needs=needs)


def plan_with_stores(folder: StateFolder) -> StackPlan:
    ports = free_ports(3)
    api = web_spec(next(ports), needs=("valkey", "mongo"))
    valkey = valkey_spec(next(ports), folder.data("valkey"))
    stores = [valkey, embedded_store_server().spec(next(ports), folder.data("mongo"))]
    return StackPlan(api_url=api.url, children=[*stores, api])


@dataclass
class Stack:
    folder: StateFolder
    supervisor: Popen[bytes]

    def status(self) -> StackStatus:
        status = self.folder.read_status()
        assert status is not None, "the stack runs and has a status"
        return status

    def process(self, name: str) -> ProcessStatus:
        return next(process for process in self.status().processes if process.name == name)

    def pids(self) -> list[int]:
        return [process.pid for process in self.status().processes if process.pid is not None]

    def stop(self) -> None:
        with ended(self.supervisor):
            self.supervisor.terminate()
            self.supervisor.wait(timeout=WAIT_SECONDS)


@contextmanager
def running(folder: StateFolder, plan: StackPlan) -> Iterator[Stack]:
    """Runs a stack; the block begins when all its children are ready."""
    stack = Stack(folder, start_supervisor(folder, plan, tethered=False))
    try:
        wait_until_ready(folder, stack.supervisor, on_status=lambda _: None)
        yield stack
    finally:
        stack.stop()


def state_folder(path: Path) -> StateFolder:
    folder = StateFolder(path)
    folder.create()
    return folder


def is_gone(pid: int) -> bool:
    """Returns True if the process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
