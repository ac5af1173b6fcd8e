"""What becomes of the tasks, shown in the objects: one call for the changes of all tasks, and every minute a look at
all that are under way, for what the feed has not told.

Of several changes of a task that come faster than they can be written only the last is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent_operator.agenttasks import status as statuses
from agent_operator.agenttasks.register import Entry, Register
from agent_operator.agenttasks.status import TERMINAL_PHASES, Condition, Phase, condition_of, phase_of
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterAway, ClusterError
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.rest_client import Orchestrator, OrchestratorAway, OrchestratorError, TaskState
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

TICK_SECONDS = 0.5
WAIT_SECONDS = 20.0
PAGE_ITEMS = 500
RESYNC_SECONDS = 60.0
FRESH_SECONDS = 1.0
WRITERS = 16
IDLE_SECONDS = 5.0
RETRY_SECONDS = 2.0
LOOKS_IN_VAIN = 3
LOST_AFTER_SECONDS = 600.0

_log = get_logger(__name__)


@dataclass(frozen=True)
class Mirror:
    """`work` gets the objects whose tasks have ended. A task is lost when the API did not know it `LOOKS_IN_VAIN` times
    over `lost_after_seconds`."""

    orchestrator: Orchestrator
    register: Register
    writer: StatusWriter
    events: EventRecorder
    work: WorkQueue
    metrics: AgentTaskMetrics
    pulse: Pulse
    cluster_name: str
    resync_seconds: float = RESYNC_SECONDS
    lost_after_seconds: float = LOST_AFTER_SECONDS
    _newest: dict[str, TaskState] = field(default_factory=dict)
    _writing: WorkQueue = field(default_factory=WorkQueue)

    async def follow(self) -> None:
        """Follows the feed, until cancelled."""
        cursor: str | None = None
        while True:
            self.pulse.beat("mirror")
            began = time.monotonic()
            try:
                answer = await self.orchestrator.changes(cursor, limit=PAGE_ITEMS, wait_seconds=WAIT_SECONDS)
            except OrchestratorError as error:
                _log.warning("changes_not_read", code=error.code)
                if not isinstance(error, OrchestratorAway):
                    cursor = None  # the API does not understand it; the resync finds what is missed
                await asyncio.sleep(RETRY_SECONDS)
                continue
            cursor = answer.cursor
            for task in answer.items:
                self.notice(task)
            if not answer.more:
                await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.monotonic()))

    def notice(self, task: TaskState) -> None:
        """Takes note of where a task stands; what is not about an object under way here is passed over."""
        entry = self.register.get(task.source.uid)
        if entry is None or entry.task_id not in (None, task.task_id):
            return
        if entry.task_id is None and task.source.cluster != self.cluster_name:
            return  # once the object names the task, it is its own, also where the cluster's name has changed since
        newest = self._newest.get(entry.uid)
        if task.rev > entry.rev and (newest is None or task.rev > newest.rev):
            self._newest[entry.uid] = task
            self._writing.add(entry.uid)

    async def write(self) -> None:
        """Writes what was noticed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say_when_idle())
            for _ in range(WRITERS):
                group.create_task(self._write_one_by_one())

    async def _write_one_by_one(self) -> None:
        while True:
            uid = await self._writing.take()
            try:
                await self._write(uid)
            finally:
                self._writing.done(uid)
            self.pulse.beat("mirror_writes")

    async def _say_when_idle(self) -> None:
        while True:
            self.beat_if_idle()
            await asyncio.sleep(IDLE_SECONDS)

    def beat_if_idle(self) -> None:
        """The writers beat when they are done with one: there is silence where all of them hang."""
        if self._writing.idle:
            self.pulse.beat("mirror_writes")

    async def _write(self, uid: str) -> None:
        entry, task = self.register.get(uid), self._newest.pop(uid, None)
        if entry is None or task is None:
            return
        try:
            if task.erased:
                await self._lose(entry)
                written = False
            else:
                before = phase_of(entry.status)
                written = await self.writer.mirror(entry, task)
                self._tell(entry, before)
        except ClusterError as error:
            _log.warning("status_not_written", reason=error.reason, uid=uid, task_id=task.task_id)
            self._newest.setdefault(uid, task)
            passes = isinstance(error, ClusterAway)
            self._writing.add_later(uid, RETRY_SECONDS if passes else self.resync_seconds)
            return
        if entry.ended or entry.gone:
            self.work.add(uid)
        if written and task.completed_at is not None:
            self.metrics.operator_status_lag_seconds.observe(
                max(0.0, (datetime.now(UTC) - task.completed_at).total_seconds())
            )

    def _tell(self, entry: Entry, before: Phase | None) -> None:
        phase = phase_of(entry.status)
        if phase is None or phase is before or phase not in TOLD:
            return
        succeeded = condition_of(entry.status, Condition.SUCCEEDED) or {}
        agent, usage = entry.status.get("agent"), entry.status.get("usage") or {}
        message = str(succeeded.get("message", ""))
        if phase is Phase.PROCESSING and agent:
            message = f"{agent} runs it. {(entry.status.get('routing') or {}).get('reasoning', '')}".rstrip()
        elif phase is Phase.COMPLETED:
            cost = f" and {usage['costUSD']} USD" if "costUSD" in usage else ""
            message = f"{agent} has answered, for {usage.get('totalTokens', 0):,} tokens{cost}."
        self.events.tell(entry.reference, reason=phase.value, message=message, warning=phase is Phase.FAILED)

    async def resync(self) -> None:
        """Looks at all that is under way now and then, and soon at what came with a task; until cancelled."""
        due_at = time.monotonic()
        while True:
            self.pulse.beat("resync")
            fresh = [entry for entry in self.register.take_fresh() if not entry.ended]
            try:
                if time.monotonic() >= due_at:
                    due_at = time.monotonic() + self.resync_seconds
                    await self.look_at_all()
                elif fresh:
                    await self._look_at_pages(fresh)
            except OrchestratorError as error:
                _log.warning("resync_failed", code=error.code)
            await asyncio.sleep(FRESH_SECONDS)

    async def look_at_all(self) -> None:
        """Raises OrchestratorError."""
        await self._look_at_pages([entry for entry in self.register if entry.task_id is not None and not entry.ended])

    async def _look_at_pages(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), PAGE_ITEMS):
            self.pulse.beat("resync")
            await self._look_at(entries[start : start + PAGE_ITEMS])

    async def _look_at(self, entries: Sequence[Entry]) -> None:
        found = {
            task.task_id: task for task in await self.orchestrator.find([entry.task_id or "" for entry in entries])
        }
        for entry in entries:
            task = found.get(entry.task_id or "")
            if task is not None and task.source.uid == entry.uid:
                entry.looks_in_vain, entry.missing_since = 0, None
                self.notice(task)
            elif self._is_lost(entry):
                await self._lose(entry)

    def _is_lost(self, entry: Entry) -> bool:
        """Not at the first look in vain: a database that is being restored knows its tasks a little later."""
        now = time.monotonic()
        entry.looks_in_vain += 1
        entry.missing_since = now if entry.missing_since is None else entry.missing_since
        return entry.looks_in_vain >= LOOKS_IN_VAIN and now - entry.missing_since >= self.lost_after_seconds

    async def _lose(self, entry: Entry) -> None:
        try:
            lost = await self.writer.write(entry, statuses.lost)
        except ClusterError as error:
            _log.warning("status_not_written", reason=error.reason, uid=entry.uid, task_id=entry.task_id)
            return
        if lost:
            _log.error("task_lost", uid=entry.uid, task_id=entry.task_id)
            self.metrics.operator_lost.inc()
            self.events.tell(
                entry.reference, reason="TaskLost", message=f"The API no longer knows {entry.task_id}.", warning=True
            )
        self.work.add(entry.uid)


TOLD = TERMINAL_PHASES | {Phase.PROCESSING}
