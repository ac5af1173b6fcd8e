"""The writer of statuses. It writes those of one object in order and never an older over a newer one, and it leaves out
writes that would change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import Entry
from agent_operator.agenttasks.status import Moment, Status, mirrored
from agent_operator.kube.cluster import HasChanged, NotThere
from agent_operator.rest.task_state import TaskState
from app.ports import Clock
from app.telemetry.metrics import AgentTaskMetrics

# Below the session's 20 connections, so that lists and finalizers need not wait behind a flood of statuses.
WRITES_AT_ONCE = 16


class StatusWriter:
    """The writer of all statuses. If an object is gone, or another one has its name, it marks the entry as `gone`."""

    def __init__(self, objects: AgentTasks, clock: Clock, metrics: AgentTaskMetrics) -> None:
        self._objects = objects
        self._clock = clock
        self._metrics = metrics
        self._room = asyncio.Semaphore(WRITES_AT_ONCE)

    async def mirror(self, entry: Entry, task: TaskState) -> bool:
        """Writes the task's state unless the status shows a newer one. Returns whether it has written.

        Raises ClusterError.
        """
        async with entry.writing:
            if task.rev <= entry.rev:
                return False
            written = await self._write(entry, mirrored(entry.status, task, self._moment(entry)))
            if not entry.gone:
                entry.rev = task.rev
            return written

    async def write(self, entry: Entry, change: Callable[[Status, Moment], Mapping[str, Any]]) -> bool:
        """Changes the status, unless it shows an end. Returns whether it has changed. Raises ClusterError."""
        async with entry.writing:
            if entry.ended:
                return False
            return await self._write(entry, change(entry.status, self._moment(entry)))

    def _moment(self, entry: Entry) -> Moment:
        return Moment(self._clock.now(), entry.generation)

    async def _write(self, entry: Entry, status: Mapping[str, Any]) -> bool:
        if status == entry.status:
            return False
        try:
            async with self._room:
                await self._objects.write_status(entry, _difference(entry.status, status))
        except (NotThere, HasChanged):
            entry.gone = True
            return False
        entry.status = status
        self._metrics.operator_status_writes.inc()
        return True


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the merge patch that turns `before` into `after`. A patch keeps what it does not name, at every depth."""
    removed: dict[str, Any] = {name: None for name in before if name not in after}
    changed = ((name, before.get(name), value) for name, value in after.items() if before.get(name) != value)
    return removed | {
        name: _difference(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new
        for name, old, new in changed
    }
