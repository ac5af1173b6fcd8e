"""The survey: a periodic comparison of every object and every unfinished task. It finds what a watch, a feed or an
operator that did not run may have missed.

Objects that should be watched are watched again, objects that have ended are released, and tasks whose object is gone
are cancelled. It cancels only tasks of objects of this very namespace, see `Shifts.covers`, and only after it has read
the object once more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import FINALIZER, FINISHED_LABEL, Body, Register, key_of
from agent_operator.agenttasks.restart import RestartNeeded, restart
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.agenttasks.status import phase_of
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError, NotAllowed, NotThere
from agent_operator.rest.rest_client import RestClient, RestError, TaskGone
from agent_operator.rest.task_state import TaskState
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

EVERY_SECONDS = 600.0
# An object may be newer than the list that the survey has read. Its task is young then, too.
YOUNG = timedelta(seconds=60)

_log = get_logger(__name__)


@dataclass(frozen=True)
class Seen:
    """The findings of one survey: `namespaces` with objects in them, and the keys of unfinished objects by their uids.

    `unreadable` are the namespaces that may not be listed, `failed` those whose list was cut off.
    """

    under_way: dict[str, str] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Survey:
    """The survey of one cluster's AgentTasks and tasks. `waiting_for`: namespaces that could not be listed at first."""

    objects: AgentTasks
    rest: RestClient
    register: Register
    expiry: Expiry
    work: WorkQueue
    clock: Clock
    pulse: Pulse
    metrics: AgentTaskMetrics
    cluster_name: str
    shifts: Shifts
    waiting_for: tuple[str, ...] = ()
    every_seconds: float = EVERY_SECONDS

    async def run(self) -> None:
        """Surveys everything every `every_seconds`, until it is cancelled."""
        while True:
            self.pulse.beat("survey")
            try:
                await self.check_all()
            except (ClusterError, RestError) as error:
                _log.warning("survey_failed", error_class=type(error).__name__)
            except RestartNeeded as needed:
                await restart(needed)
            await asyncio.sleep(self.every_seconds)

    async def check_all(self) -> None:
        """Surveys everything once. Raises ClusterError, RestError, RestartNeeded."""
        began, began_at = self.clock.now(), self.clock.monotonic()
        seen = Seen()
        each = [replace(self.objects, namespaces=(namespace,)) for namespace in self.objects.namespaces]
        for objects in each or [self.objects]:
            await self._check_objects(objects, seen)
        self.metrics.operator_unserved_namespaces.set(len(seen.unreadable) + len(self.waiting_for))
        for entry in self.register:
            if entry.namespace in seen.unreadable | seen.failed:
                continue
            # An entry recorded since the survey began may be of an object that is newer than the list.
            if entry.uid not in seen.under_way and entry.recorded_at < began_at:
                entry.gone = True  # perhaps: the reconciler reads the object before it cancels the task
                self.work.add(entry.uid)
        seen_in = seen.namespaces - seen.failed
        await self._cancel_orphans(set(seen.under_way.values()), seen_in, made_before=began - YOUNG)
        for namespace in self.waiting_for:
            if await self._may_list(namespace):
                raise RestartNeeded("namespace_can_be_listed", namespace)

    async def _check_objects(self, objects: AgentTasks, seen: Seen) -> None:
        """Checks all objects of one namespace, or of all. A namespace that fails must not end the survey of the others.

        Raises ClusterError if all are one.
        """
        try:
            async for body in objects.read_all(unreadable=seen.unreadable):
                if not await self.shifts.may_serve(body["metadata"]["namespace"]):
                    continue
                seen.namespaces.add(body["metadata"]["namespace"])
                phase = phase_of(body.get("status") or {})
                if phase is None or not phase.terminal:
                    seen.under_way[body["metadata"]["uid"]] = key_of(body)
                self._check(body)
                self.pulse.beat("survey")
        except ClusterError as error:
            if not objects.namespaces:
                raise
            seen.failed.update(objects.namespaces)
            _log.warning("namespace_not_surveyed", namespace=objects.namespaces[0], reason=error.reason)

    async def _may_list(self, namespace: str) -> bool:
        try:
            return await self.objects.may_list(namespace)
        except ClusterError as error:
            _log.warning("namespace_not_surveyed", namespace=namespace, reason=error.reason)
            return False

    def _check(self, body: Body) -> None:
        metadata, status = body["metadata"], body.get("status") or {}
        phase = phase_of(status)
        labels, finalizers = metadata.get("labels") or {}, metadata.get("finalizers") or ()
        if phase is not None and phase.terminal and FINISHED_LABEL in labels and FINALIZER not in finalizers:
            ttl_seconds = body["spec"].get("ttlSecondsAfterFinished", 0)
            self.expiry.plan(metadata["namespace"], metadata["name"], metadata["uid"], status, ttl_seconds)
            return
        # The list may show an older status than the one that this operator has written, or is just writing.
        known = self.register.get(metadata["uid"])
        outdated = known is not None and (known.is_newer_than(metadata) or known.writing.locked())
        entry = self.register.record(body)
        if entry is None:
            return
        if entry.status != status and not outdated:
            entry.status, entry.rev = dict(status), 0  # somebody has edited it: the next resync corrects it
        self.work.add(entry.uid)

    async def _cancel_orphans(self, under_way: set[str], seen_in: set[str], *, made_before: datetime) -> None:
        """Cancels unfinished tasks whose object is gone.

        `under_way` are the keys of the objects that the survey saw unfinished, `seen_in` the namespaces in which it saw
        any. In a namespace without objects nothing is cancelled: their restore may not have begun.
        """
        cursor = None
        while True:
            self.pulse.beat("survey")  # beside a deep queue the API may need minutes for a page
            page = await self.rest.find_unfinished(self.cluster_name, cursor)
            for task in page.items:
                if task.source.uid not in under_way and task.queued_at < made_before and self._is_ours(task, seen_in):
                    await self._cancel_orphan(task)
            cursor = page.next_cursor
            if cursor is None:
                return

    def _is_ours(self, task: TaskState, seen_in: set[str]) -> bool:
        if task.source.uid in self.register.owed_cancels:
            return True
        return task.source.namespace in seen_in and self.shifts.covers(task)

    async def _cancel_orphan(self, task: TaskState) -> None:
        source = task.source
        if source.namespace is None or source.name is None:
            return
        # The list of objects is older than the list of tasks, so the object may have been created in between.
        try:
            await self.shifts.confirm(source.namespace)
            body = await self.objects.read(source.namespace, source.name)
        except (NotAllowed, NotThere):
            return  # the namespace is gone by now, or the right to read in it
        except ClusterError as error:  # the next survey tries again
            _log.warning("orphan_not_checked", task_id=task.task_id, namespace=source.namespace, reason=error.reason)
            return
        if source.uid not in self.register.owed_cancels and not self.shifts.covers(task):
            return  # a new shift has begun meanwhile
        if body is not None and key_of(body) == source.uid:
            phase = phase_of(body.get("status") or {})
            if phase is None or not phase.terminal:
                return
        try:
            await self.rest.cancel(task.task_id, tenant=task.tenant)
        except TaskGone:
            self.register.owed_cancels.discard(source.uid or "")
            return
        self.register.owed_cancels.discard(source.uid or "")
        _log.warning("orphan_cancelled", task_id=task.task_id, uid=source.uid)
