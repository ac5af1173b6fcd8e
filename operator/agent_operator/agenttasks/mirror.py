"""The mirror of the tasks' states in the statuses of the objects.

One request follows the changes of all tasks. Every minute a comparison of all tasks under way finds the changes that
the feed has missed. If a task changes faster than its status can be written, only the last state is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_operator.agenttasks import status as statuses
from agent_operator.agenttasks.register import Entry, Register
from agent_operator.agenttasks.status import TERMINAL_PHASES, Condition, Phase, condition_of, phase_of
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError, ClusterUnavailable
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.rest_client import RestClient, RestError, RestUnavailable
from agent_operator.rest.task_state import TaskState
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

# At most two requests a second, however busy the feed: changes of the same task in between need one write.
TICK_SECONDS = 0.5
# Shorter than the operator's request timeout of 30 s, and than the idle timeouts of usual proxies (60 s).
WAIT_SECONDS = 20.0
PAGE_ITEMS = 500
RESYNC_SECONDS = 60.0
FRESH_SECONDS = 1.0
WRITERS = 16  # more would only wait in the status writer, which has room for as many
IDLE_SECONDS = 5.0
RETRY_SECONDS = 2.0
# Both must hold before a task counts as lost: a database that is being restored knows its tasks a little later.
MISSES_BEFORE_LOST = 3
LOST_AFTER_SECONDS = 600.0
# The reconciler emits the events of the phases before these.
PHASES_WITH_EVENT = TERMINAL_PHASES | {Phase.PROCESSING}

_log = get_logger(__name__)


@dataclass(frozen=True)
class Mirror:
    """The mirror of one cluster's tasks. `work` gets the objects whose tasks have ended.

    A task is lost if the API did not know it `MISSES_BEFORE_LOST` times in a row within at least `lost_after_seconds`.
    """

    rest: RestClient
    register: Register
    writer: StatusWriter
    events: EventRecorder
    work: WorkQueue
    clock: Clock
    metrics: AgentTaskMetrics
    pulse: Pulse
    cluster_name: str
    resync_seconds: float = RESYNC_SECONDS
    lost_after_seconds: float = LOST_AFTER_SECONDS
    _newest: dict[str, TaskState] = field(default_factory=dict)
    _writing: WorkQueue = field(default_factory=WorkQueue)

    async def follow(self) -> None:
        """Records the changes of all tasks until it is cancelled."""
        cursor: str | None = None
        while True:
            self.pulse.beat("mirror")
            began = self.clock.monotonic()
            try:
                answer = await self.rest.read_changes(cursor, limit=PAGE_ITEMS, wait_seconds=WAIT_SECONDS)
            except RestError as error:
                _log.warning("changes_not_read", error_code=error.code)
                if not isinstance(error, RestUnavailable):
                    # The API refuses the cursor, for example one of another version. Without a cursor the feed starts
                    # ten seconds ago; the resync finds the changes in between.
                    cursor = None
                await asyncio.sleep(RETRY_SECONDS)
                continue
            cursor = answer.cursor
            for task in answer.items:
                self.record(task)
            if not answer.more:
                await asyncio.sleep(max(0.0, began + TICK_SECONDS - self.clock.monotonic()))

    def record(self, task: TaskState) -> None:
        """Records the task's state, and makes its write due; ignores tasks of other objects than those under way."""
        entry = self.register.of_key(task.source.uid)
        if entry is None or entry.task_id not in (None, task.task_id):
            return
        # Once an object names its task, the two belong together, even if the cluster's name has changed since.
        if entry.task_id is None and task.source.cluster != self.cluster_name:
            return
        newest = self._newest.get(entry.uid)
        if task.rev > entry.rev and (newest is None or task.rev > newest.rev):
            self._newest[entry.uid] = task
            self._writing.add(entry.uid)

    async def write(self) -> None:
        """Writes the recorded states until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat_while_idle())
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

    async def _beat_while_idle(self) -> None:
        while True:
            self.beat_if_idle()
            await asyncio.sleep(IDLE_SECONDS)

    def beat_if_idle(self) -> None:
        """Beats if no write is due or under way.

        Otherwise only a writer that has finished a write beats. So the duty goes silent if all of them hang.
        """
        if self._writing.idle:
            self.pulse.beat("mirror_writes")

    async def _write(self, uid: str) -> None:
        entry, task = self.register.get(uid), self._newest.pop(uid, None)
        if entry is None or task is None:
            return
        try:
            if task.erased:
                await self._mark_lost(entry)
                written = False
            else:
                before = phase_of(entry.status)
                written = await self.writer.mirror(entry, task)
                self._emit_event(entry, before)
        except ClusterError as error:
            _log.warning("status_not_written", reason=error.reason, uid=uid, task_id=task.task_id)
            self._newest.setdefault(uid, task)  # a newer state may have come meanwhile
            passes = isinstance(error, ClusterUnavailable)
            # A write that the API server refuses is retried, too: an administrator may correct the rights or the CRD.
            self._writing.add_later(uid, RETRY_SECONDS if passes else self.resync_seconds)
            return
        if entry.ended or entry.gone:
            self.work.add(uid)
        if written and task.completed_at is not None:
            self.metrics.operator_status_lag_seconds.observe(
                max(0.0, (self.clock.now() - task.completed_at).total_seconds())  # the database's clock may be ahead
            )

    def _emit_event(self, entry: Entry, before: Phase | None) -> None:
        phase = phase_of(entry.status)
        if phase is None or phase is before or phase not in PHASES_WITH_EVENT:
            return
        succeeded = condition_of(entry.status, Condition.SUCCEEDED) or {}
        agent, usage = entry.status.get("agent"), entry.status.get("usage") or {}
        message = str(succeeded.get("message", ""))
        if phase is Phase.PROCESSING and agent:
            message = f"{agent} runs it. {(entry.status.get('routing') or {}).get('reasoning', '')}".rstrip()
        elif phase is Phase.COMPLETED:
            cost = f" and {usage['costUSD']} USD" if "costUSD" in usage else ""
            message = f"{agent} has answered, for {usage.get('totalTokens', 0):,} tokens{cost}."
        self.events.emit(entry.reference, reason=phase.value, message=message, warning=phase is Phase.FAILED)

    async def resync(self) -> None:
        """Compares all objects under way with their tasks every `resync_seconds`, until it is cancelled.

        Objects that had a task when they were first seen are compared within a second: after a start of the operator
        their statuses may be old.
        """
        due_at = self.clock.monotonic()
        while True:
            self.pulse.beat("resync")
            fresh = [entry for entry in self.register.take_fresh() if not entry.ended]
            try:
                if self.clock.monotonic() >= due_at:
                    due_at = self.clock.monotonic() + self.resync_seconds
                    await self.check_all()
                elif fresh:
                    await self._check_in_pages(fresh)
            except RestError as error:
                _log.warning("resync_failed", error_code=error.code)
            await asyncio.sleep(FRESH_SECONDS)

    async def check_all(self) -> None:
        """Compares all objects under way with their tasks once. Raises RestError."""
        await self._check_in_pages([entry for entry in self.register if entry.task_id is not None and not entry.ended])

    async def _check_in_pages(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), PAGE_ITEMS):
            self.pulse.beat("resync")
            await self._check(entries[start : start + PAGE_ITEMS])

    async def _check(self, entries: Sequence[Entry]) -> None:
        found = {task.task_id: task for task in await self.rest.find([entry.task_id or "" for entry in entries])}
        for entry in entries:
            task = found.get(entry.task_id or "")
            # A status that was edited by hand may name the task of another object: that is a miss, too.
            if task is not None and task.source.uid == entry.key:
                entry.misses, entry.missing_since = 0, None
                self.record(task)
            elif self._record_miss(entry):
                await self._mark_lost(entry)

    def _record_miss(self, entry: Entry) -> bool:
        """Records that the API does not know the task; returns whether the task counts as lost now."""
        now = self.clock.monotonic()
        entry.misses += 1
        entry.missing_since = now if entry.missing_since is None else entry.missing_since
        return entry.misses >= MISSES_BEFORE_LOST and now - entry.missing_since >= self.lost_after_seconds

    async def _mark_lost(self, entry: Entry) -> None:
        try:
            lost = await self.writer.write(entry, statuses.lost)
        except ClusterError as error:
            _log.warning("status_not_written", reason=error.reason, uid=entry.uid, task_id=entry.task_id)
            return
        if lost:
            _log.error("task_lost", uid=entry.uid, task_id=entry.task_id)
            self.metrics.operator_lost.inc()
            message = f"The API no longer knows {entry.task_id}."
            self.events.emit(entry.reference, reason="TaskLost", message=message, warning=True)
        self.work.add(entry.uid)
