"""The state folder of one stack: data, logs, the plan, and the supervisor's status.

The lock file decides whether a stack runs. The supervisor holds the lock for life, and the kernel releases it whatever
ends the supervisor, so a stale pid is never believed. Standard library only: the supervisor imports this module.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

DEFAULT_FOLDER = Path(".agent-orchestrator")
# So much a store takes when it starts, or for a burst of large results.
SPARE_MEGABYTES = 64


@dataclass(frozen=True)
class ProcessStatus:
    """One child as `status` shows it. Between two starts `pid` is None and `restart_delay_seconds` is the wait."""

    name: str
    kind: str
    pid: int | None
    url: str
    ready: bool
    restarts: int = 0
    last_exit: str | None = None
    restart_delay_seconds: float | None = None
    program: str = ""


@dataclass(frozen=True)
class StackStatus:
    """The last status of the supervisor. `simulated` names the providers that the simulator replaces."""

    supervisor_pid: int
    phase: str
    api_url: str
    simulator_url: str | None = None
    simulated: Sequence[str] = ()
    processes: Sequence[ProcessStatus] = ()

    @property
    def ready(self) -> bool:
        return self.phase == "running" and all(process.ready for process in self.processes)


@dataclass(frozen=True)
class StateFolder:
    """The folder: its paths, its lock, and the status file in it."""

    path: Path
    logs: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "logs", self.path / "logs")

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    def create(self) -> None:
        """Makes the folder, readable by its owner only, because it holds tasks and results."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)

    def data(self, name: str) -> Path:
        folder = self.path / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def has_data(self, name: str) -> bool:
        folder = self.path / "data" / name
        return folder.is_dir() and any(folder.iterdir())

    def lock(self) -> IO[str] | None:
        """Takes the lock and returns the open file that holds it; None if another process has it."""
        handle = (self.path / "lock").open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return None
        return handle

    def exists(self) -> bool:
        """Checks whether the folder is that of a stack, running or not."""
        return (self.path / "lock").exists()

    def running(self) -> bool:
        if not self.exists():
            return False
        # Holding the lock for an instant, this process can make a supervisor's own attempt fail: see LOCK_TRIES.
        handle = self.lock()
        if handle is None:
            return True
        handle.close()
        return False

    def write_status(self, status: StackStatus) -> None:
        _write_json(self.path / "stack.json", asdict(status))

    def read_status(self) -> StackStatus | None:
        """Reads the status of the running stack; None if none runs or it has not written one yet."""
        if not self.running():
            return None
        try:
            document = json.loads((self.path / "stack.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        processes = [ProcessStatus(**process) for process in document.pop("processes")]
        return StackStatus(**{**document, "simulated": tuple(document["simulated"])}, processes=processes)

    def remove_status(self) -> None:
        (self.path / "stack.json").unlink(missing_ok=True)

    def read_shortage(self) -> str | None:
        """Reads the free space of the disk; returns a sentence if it is too little for the stores."""
        disk = os.statvfs(self.path)
        return describe_shortage(self.path, disk.f_bavail * disk.f_frsize // 2**20)


def describe_shortage(folder: Path, megabytes: int) -> str | None:
    if megabytes >= SPARE_MEGABYTES:
        return None
    return (
        f"The disk with {folder} is full ({megabytes} MB are free): a store that cannot write refuses tasks. "
        "Free some space; the stack then goes on by itself."
    )


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    """Replaces the file in one step: a reader gets the old or the new one, never half of it."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(document, indent=2), encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)
