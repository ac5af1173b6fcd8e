"""What the protocol asks of a store, and a double that keeps it in memory; each of its rules can be broken by name."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from app.domain.task import UNFINISHED

LEASE_SECONDS = 30
LOST_AFTER_SECONDS = 5
MAX_CRASHES = 3


@dataclass(frozen=True)
class Grant:
    """A claim that was granted: its fence, and the steps that are recorded already."""

    task_id: str
    claim_id: str
    epoch: int
    steps: frozenset[str]


@dataclass(frozen=True)
class Seen:
    status: str
    epoch: int


class ProtocolStore(Protocol):
    """The store's side of claim, lease, fence and reap. Time passes by `advance` alone, in seconds."""

    def advance(self, seconds: int) -> None: ...

    def submit(self) -> str: ...

    def release_waiting(self) -> list[str]:
        """Marks what waits as dispatched; a ticket is due for each."""

    def redispatch_lost(self, held: set[str]) -> list[str]:
        """Marks anew what was dispatched a while ago, is still queued and nobody holds."""

    def claim(self, task_id: str) -> Grant | None: ...

    def record(self, grant: Grant, step: str) -> bool: ...

    def complete(self, grant: Grant) -> bool: ...

    def heartbeat(self, grant: Grant) -> bool: ...

    def reap(self) -> None: ...

    def cancel(self, task_id: str) -> None: ...

    def seen(self, task_id: str) -> Seen: ...


class Broken(Enum):
    """A rule that is switched off, to show that it is needed."""

    FENCE = auto()
    IDEMPOTENT_CLAIM = auto()
    LEASE = auto()


@dataclass
class _Task:
    status: str = "queued"
    epoch: int = 0
    claim_id: str = ""
    lease_until: int = 0
    dispatched_at: int | None = None
    crashes: int = 0
    cancel: bool = False
    steps: set[str] = field(default_factory=set)


class MemoryStore:
    def __init__(self, broken: Broken | None = None) -> None:
        self._broken = broken
        self._now = 1_000
        self._tasks: dict[str, _Task] = {}

    def advance(self, seconds: int) -> None:
        self._now += seconds

    def submit(self) -> str:
        task_id = f"task-{len(self._tasks)}"
        self._tasks[task_id] = _Task()
        return task_id

    def release_waiting(self) -> list[str]:
        waiting = [
            task_id
            for task_id, task in self._tasks.items()
            if task.status == "queued" and task.dispatched_at is None and not task.cancel
        ]
        for task_id in waiting:
            self._tasks[task_id].dispatched_at = self._now
        return waiting

    def redispatch_lost(self, held: set[str]) -> list[str]:
        lost = [
            task_id
            for task_id, task in self._tasks.items()
            if task.status == "queued"
            and task.dispatched_at is not None
            and task.dispatched_at < self._now - LOST_AFTER_SECONDS
            and task_id not in held
        ]
        for task_id in lost:
            self._tasks[task_id].dispatched_at = self._now
        return lost

    def claim(self, task_id: str) -> Grant | None:
        task = self._tasks[task_id]
        free = task.status == "queued" and task.dispatched_at is not None and not task.cancel
        if self._broken is Broken.IDEMPOTENT_CLAIM:
            free = task.status in UNFINISHED
        if not free:
            return None
        task.status, task.claim_id = "processing", uuid.uuid4().hex
        task.epoch += 1
        task.lease_until = self._now + LEASE_SECONDS
        return Grant(task_id, task.claim_id, task.epoch, frozenset(task.steps))

    def _fenced(self, grant: Grant) -> _Task | None:
        task = self._tasks[grant.task_id]
        if self._broken is Broken.FENCE:
            return task
        return task if task.status == "processing" and task.epoch == grant.epoch else None

    def record(self, grant: Grant, step: str) -> bool:
        task = self._fenced(grant)
        if task is not None:
            task.steps.add(step)
        return task is not None

    def complete(self, grant: Grant) -> bool:
        task = self._fenced(grant)
        if task is not None:
            task.status, task.dispatched_at = "completed", None
        return task is not None

    def heartbeat(self, grant: Grant) -> bool:
        task = self._tasks[grant.task_id]
        if task.status != "processing" or task.claim_id != grant.claim_id:
            return False
        task.lease_until = self._now + LEASE_SECONDS
        return True

    def reap(self) -> None:
        for task in self._tasks.values():
            if task.status == "processing" and task.lease_until < self._now:
                task.crashes += 1
                task.dispatched_at = None
                if task.cancel:
                    task.status = "cancelled"
                else:
                    task.status = "failed" if task.crashes >= MAX_CRASHES else "queued"
            if task.status == "queued" and task.cancel:
                task.status = "cancelled"

    def cancel(self, task_id: str) -> None:
        task = self._tasks[task_id]
        task.cancel = True
        if task.status == "queued":
            task.status = "cancelled"

    def seen(self, task_id: str) -> Seen:
        task = self._tasks[task_id]
        return Seen(task.status, task.epoch)
