"""What an AgentTask asks for, done over REST: hand the task in once, hold it back, cancel it, let it go.

Level-triggered: what is to be done follows from how the object and its task stand, not from what happened to them. All
of it may be interrupted anywhere and done again. The object's uid is the idempotency key: the same object never makes
two tasks, and once it has a task it is never handed in again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_operator.agenttasks import status as statuses
from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import Entry, Register
from agent_operator.agenttasks.status import Condition, condition_of
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.backpressure import Gate
from agent_operator.rest.rest_client import (
    KeyTaken,
    Orchestrator,
    OrchestratorAway,
    OrchestratorError,
    OrchestratorRefused,
    TaskGone,
)
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

DELETION_PATIENCE_SECONDS = 60.0
# A submission is at most five calls of the API to its database, of 5 s each by default. Shorter than the patience with
# deletions, so that these still end as they should.
LATE_SECONDS = 45.0
LATE_LOOK_SECONDS = 5.0
Spec = Mapping[str, Any]

_log = get_logger(__name__)


@dataclass(frozen=True)
class Reconciler:
    """`cluster_name` tells this cluster's objects from another's of the same API."""

    objects: AgentTasks
    orchestrator: Orchestrator
    register: Register
    writer: StatusWriter
    events: EventRecorder
    expiry: Expiry
    gate: Gate
    clock: Clock
    metrics: AgentTaskMetrics
    cluster_name: str

    async def reconcile(self, entry: Entry) -> None:
        """One step towards what is asked for. Raises OrchestratorAway, ClusterError: then again later."""
        if entry.gone:
            await self._miss(entry)
        elif entry.ended:
            await self._finish(entry)
        elif entry.deleting:
            if entry.deletion_seen_at is None:
                entry.deletion_seen_at = self.clock.monotonic()
            await self._give_up(entry)
        else:
            await self.objects.watch_again(entry)
            await self._follow_spec(entry)

    async def _follow_spec(self, entry: Entry) -> None:
        if entry.cancel:
            await self._cancel(entry)
        elif entry.task_id is None and entry.suspend:
            await self.writer.write(entry, statuses.suspended)
        elif entry.task_id is None:
            await self._submit(entry)

    async def _submit(self, entry: Entry) -> None:
        try:
            self.gate.enter(entry.namespace)
        except OrchestratorAway as closed:
            await self._hold_up(entry, closed)
            raise
        spec = entry.spec or await self._read_spec(entry)
        if spec is None:
            return
        await self.objects.protect(entry)
        try:
            task_id = await self._hand_in(entry, spec)
        except OrchestratorAway as away:
            if away.uncertain:
                entry.uncertain_since = self.clock.monotonic()
            self.gate.close(entry.namespace, away)
            await self._hold_up(entry, away)
            raise
        except OrchestratorRefused as refusal:
            self.gate.taken(entry.namespace)
            if entry.uncertain_since is None or await self._find_task(entry) is None:
                await self._refuse(entry, refusal)
            return
        self.gate.taken(entry.namespace)
        self.metrics.operator_submissions.labels(outcome="accepted").inc()
        self.register.let_go(entry)
        await self.writer.write(entry, lambda status, moment: statuses.submitted(status, task_id, moment))
        if not entry.gone:  # told also where the mirror was first to show the task
            self.events.tell(entry.reference, reason="Submitted", message=f"The API took the task as {task_id}.")

    async def _read_spec(self, entry: Entry) -> Spec | None:
        """None where there is no such object any more."""
        body = await self.objects.look(entry.namespace, entry.name)
        if body is None or body["metadata"]["uid"] != entry.uid:
            entry.gone = True
            await self._miss(entry)
            return None
        spec: Spec = body["spec"]
        return spec

    async def _hand_in(self, entry: Entry, spec: Spec) -> str:
        try:
            return await self.orchestrator.submit(self._request(entry, spec), tenant=entry.namespace, key=entry.uid)
        except KeyTaken as taken:
            return taken.task_id  # made by this object, by an operator of another version

    async def _hold_up(self, entry: Entry, away: OrchestratorAway) -> None:
        self.metrics.operator_submissions.labels(outcome="held_up").inc()
        before = condition_of(entry.status, Condition.ACCEPTED)
        message = f"{away} It is tried again until the API takes it."
        await self.writer.write(
            entry, lambda status, moment: statuses.held_up(status, moment, reason=away.code, message=message)
        )
        reason = statuses.camel(away.code)
        if before is None or before["reason"] != reason:
            self.events.tell(entry.reference, reason=reason, message=message, warning=True)

    async def _refuse(self, entry: Entry, refusal: OrchestratorRefused) -> None:
        self.metrics.operator_submissions.labels(outcome="refused").inc()
        message = str(refusal)
        await self.writer.write(
            entry, lambda status, moment: statuses.refused(status, moment, reason=refusal.code, message=message)
        )
        self.events.tell(entry.reference, reason=statuses.camel(refusal.code), message=message, warning=True)
        await self._finish(entry)

    def _request(self, entry: Entry, spec: Spec) -> dict[str, Any]:
        budget = spec.get("budget") or {}
        fields = {
            "task": spec["task"],
            "session_id": spec.get("sessionId"),
            "agent": spec.get("agent"),
            "priority": spec.get("priority", 0),
            "run_at": spec.get("runAt"),
            "deadline_seconds": spec.get("activeDeadlineSeconds"),
            "max_attempts": spec.get("backoffLimit", 2) + 1,
            "budget": _present({"max_tokens": budget.get("maxTokens"), "max_cost_usd": budget.get("maxCostUSD")}),
            "metadata": spec.get("metadata"),
            "source": {
                "cluster": self.cluster_name,
                "namespace": entry.namespace,
                "name": entry.name,
                "uid": entry.uid,
            },
        }
        return _present(fields)

    async def _cancel(self, entry: Entry) -> None:
        if await self._stop(entry):
            if entry.ended:
                await self._finish(entry)
            return
        if await self.writer.write(entry, statuses.cancelled_unsubmitted):
            self.events.tell(entry.reference, reason="Cancelled", message="Cancelled before it was submitted.")
        await self._finish(entry)

    async def _stop(self, entry: Entry) -> bool:
        """Asks the API once to stop the object's task, also one whose id was not learned; whether there is one."""
        if entry.stopped:
            return True
        task_id = entry.task_id or await self._find_task(entry)
        if task_id is None:
            return False
        try:
            await self.orchestrator.cancel(task_id, tenant=entry.namespace)
        except TaskGone:
            _log.info("task_to_cancel_is_gone", task_id=task_id, uid=entry.uid)
        entry.stopped = True
        return True

    async def _find_task(self, entry: Entry) -> str | None:
        """The task that the object's key has made, whose state is then shown, too, if there still is an object.

        Raises OrchestratorAway for as long as a submission may still make one.
        """
        made = await self.orchestrator.find_by_key(entry.uid, tenant=entry.namespace)
        if made is not None:
            await self.writer.mirror(entry, made)
            return made.task_id
        since = entry.uncertain_since
        if since is not None and self.clock.monotonic() - since < LATE_SECONDS:
            message = "It is not certain yet whether the API took the task."
            raise OrchestratorAway("SUBMISSION_UNCERTAIN", message, retry_seconds=LATE_LOOK_SECONDS)
        return None

    async def _give_up(self, entry: Entry) -> None:
        """The object is being deleted: its task is stopped, and the object goes, if need be without that."""
        try:
            await self._stop(entry)
        except OrchestratorError as error:
            if self.clock.monotonic() - (entry.deletion_seen_at or 0.0) < DELETION_PATIENCE_SECONDS:
                raise
            _log.warning("deleted_without_cancel", code=error.code, uid=entry.uid, task_id=entry.task_id)
        await self.objects.release(entry, finished=False)
        self.register.forget(entry)

    async def _miss(self, entry: Entry) -> None:
        """The watch shows the object no more: it is gone, or somebody labelled it as finished."""
        body = await self.objects.look(entry.namespace, entry.name)
        if body is not None and body["metadata"]["uid"] == entry.uid:
            self.register.note(body)
            async with entry.writing:
                entry.status = dict(body.get("status") or {})
            await self.reconcile(entry)
            return
        if not entry.ended:
            await self._stop(entry)
        self.register.forget(entry)

    async def _finish(self, entry: Entry) -> None:
        """Nothing is left to do but to delete the object when its time has come."""
        await self.objects.release(entry, finished=True)
        self.expiry.plan(entry.namespace, entry.name, entry.uid, entry.status, entry.ttl_seconds)
        self.register.finished(entry)


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}
