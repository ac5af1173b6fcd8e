"""A look at every object and every unfinished task, now and then: for what a watch, a feed or an operator that was
away may have missed.

Objects that should be watched are watched again, those that have ended are let go, and tasks whose object is gone are
cancelled: only those that objects of this cluster made, and only after a look at the very object.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import FINALIZER, FINISHED_LABEL, Body, Register
from agent_operator.agenttasks.status import phase_of
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError
from agent_operator.rest.rest_client import Orchestrator, OrchestratorError, TaskGone, TaskState
from app.ports import Clock
from app.telemetry.logs import get_logger

EVERY_SECONDS = 600.0
YOUNG = timedelta(seconds=60)

_log = get_logger(__name__)


@dataclass(frozen=True)
class Survey:
    """`namespaces` are those that are served; empty: all."""

    objects: AgentTasks
    orchestrator: Orchestrator
    register: Register
    expiry: Expiry
    work: WorkQueue
    clock: Clock
    pulse: Pulse
    cluster_name: str
    every_seconds: float = EVERY_SECONDS

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.pulse.beat("survey")
            try:
                await self.look_at_all()
            except (ClusterError, OrchestratorError) as error:
                _log.warning("survey_failed", error_class=type(error).__name__)
            await asyncio.sleep(self.every_seconds)

    async def look_at_all(self) -> None:
        """Raises ClusterError, OrchestratorError."""
        began, began_at = self.clock.now(), time.monotonic()
        under_way: set[str] = set()
        async for body in self.objects.all():
            phase = phase_of(body.get("status") or {})
            if phase is None or not phase.terminal:
                under_way.add(body["metadata"]["uid"])
            self._look_at(body)
            self.pulse.beat("survey")
        for entry in self.register:
            if entry.uid not in under_way and entry.noted_at < began_at:
                entry.gone = True  # whether it is, a look will tell
                self.work.add(entry.uid)
        await self._cancel_orphans(under_way, made_before=began - YOUNG)

    def _look_at(self, body: Body) -> None:
        metadata, status = body["metadata"], body.get("status") or {}
        phase = phase_of(status)
        labels, finalizers = metadata.get("labels") or {}, metadata.get("finalizers") or ()
        if phase is not None and phase.terminal and FINISHED_LABEL in labels and FINALIZER not in finalizers:
            ttl_seconds = body["spec"].get("ttlSecondsAfterFinished", 0)
            self.expiry.plan(metadata["namespace"], metadata["name"], metadata["uid"], status, ttl_seconds)
            return
        known = self.register.get(metadata["uid"])
        outdated = known is not None and (known.is_newer_than(metadata) or known.writing.locked())
        entry = self.register.note(body)
        if entry is None:
            return
        if entry.status != status and not outdated:
            entry.status, entry.rev = dict(status), 0  # somebody edited it: the next resync puts it right
        self.work.add(entry.uid)

    async def _cancel_orphans(self, under_way: set[str], *, made_before: datetime) -> None:
        """`under_way` are the uids of the objects that had not ended when the survey began."""
        cursor = None
        while True:
            page = await self.orchestrator.unfinished(self.cluster_name, cursor)
            for task in page.items:
                if task.source.uid not in under_way and task.queued_at < made_before and self._is_served(task):
                    await self._cancel_orphan(task)
            cursor = page.next_cursor
            if cursor is None:
                return

    def _is_served(self, task: TaskState) -> bool:
        return not self.objects.namespaces or task.source.namespace in self.objects.namespaces

    async def _cancel_orphan(self, task: TaskState) -> None:
        source = task.source
        if source.namespace is None or source.name is None:
            return
        body = await self.objects.look(source.namespace, source.name)
        if body is not None and body["metadata"]["uid"] == source.uid:
            phase = phase_of(body.get("status") or {})
            if phase is None or not phase.terminal:
                return
        try:
            await self.orchestrator.cancel(task.task_id, tenant=task.tenant)
        except TaskGone:
            return
        _log.warning("orphan_cancelled", task_id=task.task_id, uid=source.uid)
