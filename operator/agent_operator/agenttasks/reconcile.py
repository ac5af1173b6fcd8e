"""The reconciler: takes one step from the state of an AgentTask to what its spec requests. It submits the task once,
holds it back, cancels it, and releases the object.

Level-triggered: the step follows from the states of the object and its task, not from the events that led to them. A
step may be interrupted anywhere and done again. The object's uid is the idempotency key, so an object never makes two
tasks, and once it has a task it is never submitted again. An object from a backup has another uid, and keeps the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent_operator.agenttasks import status as statuses
from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import EndRecord, Entry, Register, key_of
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.agenttasks.status import Condition, condition_of
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.kube.cluster import ClusterError, NotAllowed
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.backpressure import OF_ONE_TENANT, OF_THE_API, Backpressure
from agent_operator.rest.rest_client import KeyTaken, RestClient, RestError, RestRefused, RestUnavailable, TaskGone
from app.domain.task import LATEST_PAST_RUN_AT
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

# A deletion waits this long for an API that does not answer: an outage must not block deletions for ever.
DELETION_WAIT_SECONDS = 60.0
# A submission without an answer may still arrive this much later. The API waits for its database up to ten times, by
# default for 5 s each: for the service key, the intake switch, the limits of tenants, the tenant's queued tasks, the
# agents, and the idempotency key; for the two requests of an insert before it (time and tasks), and for its own two.
# The rest is for the network. A session, or a request with the same key at the same time, adds a few more: the survey
# cancels a task that arrives later. It is shorter than DELETION_WAIT_SECONDS, so a deletion still finds a late task.
LATE_SECONDS = 55.0
LONGEST_ALONE_SECONDS = 300.0
LATE_RETRY_SECONDS = 5.0
# The API keeps a task so much longer than Kubernetes its object: an operator that was away for days must still find the
# end of the task, and the key of a submission whose answer it never got.
OUTLIVES_OBJECT_SECONDS = 7 * 86_400
LONGEST_KEPT_SECONDS = 31_536_000  # the most that every version of the API takes
Spec = Mapping[str, Any]

_log = get_logger(__name__)


@dataclass(frozen=True)
class Reconciler:
    """The reconciler of one cluster's AgentTasks. `cluster_name` distinguishes clusters that share an API."""

    objects: AgentTasks
    rest: RestClient
    register: Register
    writer: StatusWriter
    events: EventRecorder
    expiry: Expiry
    backpressure: Backpressure
    clock: Clock
    metrics: AgentTaskMetrics
    cluster_name: str
    shifts: Shifts

    async def reconcile(self, entry: Entry) -> None:
        """Takes one step. Raises RestUnavailable, ClusterError: the caller tries again later."""
        if not await self.shifts.may_serve(entry.namespace):
            self.register.forget(entry)  # the release that holds the namespace has a task for it
        elif entry.gone:
            await self._handle_missing(entry)
        elif entry.ended:
            await self._finish(entry)
        elif entry.deleting:
            if entry.deletion_seen_at is None:
                entry.deletion_seen_at = self.clock.monotonic()
            await self._handle_deletion(entry)
        elif entry.restored_end is not None:
            await self._record_restored(entry, entry.restored_end)
        else:
            await self.objects.watch_again(entry)
            if not self.objects.finalizer:  # it may have one from the time before the setting was changed
                await self.objects.release(entry, finished=False)
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
            self.backpressure.check(entry.namespace, failed_before=entry.submit_failed_at)
        except RestUnavailable as back_off:
            await self._record_held_up(entry, back_off)
            raise
        spec = entry.spec or await self._read_spec(entry)
        if spec is None:
            return
        # Before the submission: an object deleted right after it must wait until its task is cancelled.
        await self.objects.protect(entry)
        try:
            task_id = await self._submit_or_attach(entry, spec)
        except RestUnavailable as unavailable:
            now = self.clock.monotonic()
            if unavailable.uncertain:
                entry.uncertain_since = now
            if not self.backpressure.begin(entry.namespace, unavailable, failed_before=entry.submit_failed_at):
                longer = unavailable.retry_seconds * 2.0 ** min(entry.failures, 10)
                unavailable.retry_seconds = min(LONGEST_ALONE_SECONDS, longer)
            if unavailable.code not in OF_ONE_TENANT | OF_THE_API:
                entry.submit_failed_at = now
            await self._record_held_up(entry, unavailable)
            raise
        except RestRefused as refusal:
            self.backpressure.lift(entry.namespace)
            # An earlier submission without an answer may have made the task before the API began to refuse it.
            if entry.uncertain_since is None or await self._find_task(entry) is None:
                await self._record_refusal(entry, refusal)
            return
        self.backpressure.lift(entry.namespace)
        self.metrics.operator_submissions.labels(outcome="accepted").inc()
        self.register.drop_spec(entry)
        await self.writer.write(entry, lambda status, moment: statuses.submitted(status, task_id, moment))
        if entry.restored and entry.ended:  # its task has ended since the backup
            await self._finish(entry)
        # The write may have changed nothing, because the mirror was faster; the submission has its event in any case.
        elif not entry.gone:
            self.events.emit(entry.reference, reason="Submitted", message=f"The API accepted the task as {task_id}.")

    async def _read_spec(self, entry: Entry) -> Spec | None:
        """Reads the spec that the register had no room for. Returns None if the object is gone."""
        body = await self.objects.read(entry.namespace, entry.name)
        if body is None or body["metadata"]["uid"] != entry.uid:
            entry.gone = True
            await self._handle_missing(entry)
            return None
        spec: Spec = body["spec"]
        return spec

    async def _submit_or_attach(self, entry: Entry, spec: Spec) -> str:
        made = await self._find_task(entry) if entry.restored else None
        if made is not None:
            return made
        try:
            return await self.rest.submit(self._request(entry, spec), tenant=entry.namespace, key=entry.key)
        except KeyTaken as taken:
            return taken.task_id  # an operator of another version submitted this object with another body

    async def _record_held_up(self, entry: Entry, unavailable: RestUnavailable) -> None:
        self.metrics.operator_submissions.labels(outcome="held_up").inc()
        before = condition_of(entry.status, Condition.ACCEPTED)
        message = f"{unavailable} The operator tries again until the API accepts the task."
        await self.writer.write(
            entry, lambda status, moment: statuses.held_up(status, moment, reason=unavailable.code, message=message)
        )
        reason = statuses.camel(unavailable.code)
        # One event for each new reason, not one for each retry.
        if before is None or before["reason"] != reason:
            self.events.emit(entry.reference, reason=reason, message=message, warning=True)

    async def _record_refusal(self, entry: Entry, refusal: RestRefused) -> None:
        self.metrics.operator_submissions.labels(outcome="refused").inc()
        message = str(refusal)
        await self.writer.write(
            entry, lambda status, moment: statuses.refused(status, moment, reason=refusal.code, message=message)
        )
        self.events.emit(entry.reference, reason=statuses.camel(refusal.code), message=message, warning=True)
        await self._finish(entry)

    async def _record_restored(self, entry: Entry, end: EndRecord) -> None:
        """Ends an object that a backup has brought back after its task had ended: it must not be paid for twice."""
        await self.writer.write(entry, lambda status, moment: statuses.restored(status, moment, end.phase, end.task_id))
        self.events.emit(entry.reference, reason="Restored", message="Its task had ended before it was restored.")
        await self._finish(entry)

    def _request(self, entry: Entry, spec: Spec) -> dict[str, Any]:
        budget = spec.get("budget") or {}
        fields = {
            "task": spec["task"],
            "session_id": spec.get("sessionId"),
            "agent": spec.get("agent"),
            "priority": spec.get("priority", 0),
            "run_at": self._due_time(entry, spec),
            "deadline_seconds": spec.get("activeDeadlineSeconds"),
            "ttl_seconds": _kept_seconds(entry.ttl_seconds),
            "max_attempts": spec.get("backoffLimit", 2) + 1,
            "budget": _present({"max_tokens": budget.get("maxTokens"), "max_cost_usd": budget.get("maxCostUSD")}),
            "metadata": spec.get("metadata"),
            "source": {
                "cluster": self.cluster_name,
                "namespace": entry.namespace,
                "name": entry.name,
                "uid": entry.key,
                **self.shifts.source_of(entry.namespace),
            },
        }
        return _present(fields)

    def _due_time(self, entry: Entry, spec: Spec) -> str | None:
        """Returns the due time, or None if it has come since the object was created: the task may start at once.

        One that had passed before is a mistake, which the API refuses with its reason. A restored object is older than
        its creation time.
        """
        run_at: str | None = spec.get("runAt")
        if run_at is None or not entry.created_at:
            return run_at
        try:
            due = datetime.fromisoformat(run_at)
        except ValueError:  # an object from before the CRD had its pattern; the API names what is wrong
            return run_at
        created = datetime.fromisoformat(entry.created_at)
        in_time = entry.restored or created - LATEST_PAST_RUN_AT <= due
        return None if in_time and due <= self.clock.now() else run_at

    async def _cancel(self, entry: Entry) -> None:
        if await self._cancel_task(entry):
            if entry.ended:
                await self._finish(entry)
            return
        if await self.writer.write(entry, statuses.cancelled_unsubmitted):
            self.events.emit(entry.reference, reason="Cancelled", message="Cancelled before it was submitted.")
        await self._finish(entry)

    async def _cancel_task(self, entry: Entry) -> bool:
        """Cancels the object's task once, also a task whose id the operator does not know.

        Returns whether there is a task.
        """
        if entry.stopped:
            return True
        task_id = entry.task_id or await self._find_task(entry)
        if task_id is None:
            return False
        try:
            await self.rest.cancel(task_id, tenant=entry.namespace)
        except TaskGone:
            _log.info("task_to_cancel_is_gone", task_id=task_id, uid=entry.uid)
        entry.stopped = True
        return True

    async def _find_task(self, entry: Entry) -> str | None:
        """Finds the task that was submitted under the object's key, and writes its state into the status.

        Raises RestUnavailable while an earlier submission may still arrive.
        """
        made = await self.rest.find_by_key(entry.key, tenant=entry.namespace)
        if made is not None:
            await self.writer.mirror(entry, made)
            return made.task_id
        since = entry.uncertain_since
        if since is not None and self.clock.monotonic() - since < LATE_SECONDS:
            message = "A submission had no answer, and the API may still accept it."
            raise RestUnavailable("SUBMISSION_UNCERTAIN", message, retry_seconds=LATE_RETRY_SECONDS)
        return None

    async def _handle_deletion(self, entry: Entry) -> None:
        """Cancels the task of an object that is being deleted, and releases the object, after a while in any case."""
        try:
            await self._cancel_task(entry)
        except RestError as error:
            if self.clock.monotonic() - (entry.deletion_seen_at or 0.0) < DELETION_WAIT_SECONDS:
                raise
            _log.warning("deleted_without_cancel", error_code=error.code, uid=entry.uid, task_id=entry.task_id)
            self.register.owed_cancels.add(entry.key)
        await self.objects.release(entry, finished=False)
        self.register.forget(entry)

    async def _handle_missing(self, entry: Entry) -> None:
        """Handles an object that the watch no longer shows: it is gone, or somebody has labelled it as finished."""
        body, readable = None, True
        try:
            body = await self.objects.read(entry.namespace, entry.name)
        except NotAllowed:
            readable = False  # its namespace is being deleted, and the right to read there went before this event came
        if body is not None and body["metadata"]["uid"] == entry.uid:
            self.register.record(body)
            async with entry.writing:  # a write that is under way has the older status as its base
                entry.status = dict(body.get("status") or {})
            await self.reconcile(entry)
            return
        # A backup brings an object back under another uid.
        restored = body is not None and key_of(body) == entry.key
        if not entry.ended and not restored and await self._was_deleted(entry, readable=readable):
            await self._cancel_task(entry)
        self.register.forget(entry)

    async def _was_deleted(self, entry: Entry, *, readable: bool) -> bool:
        """Checks that somebody deleted the object: those newer than the snapshot of a restored etcd are gone, too.

        Raises ClusterError while that cannot be told.
        """
        if entry.seen_deleted and not readable:
            return True
        try:
            await self.shifts.confirm(entry.namespace)
        except ClusterError:
            # A namespace takes its objects, its Lease and the rights in it with it, in no fixed order.
            if entry.seen_deleted and await self.shifts.is_ending(entry.namespace):
                return True
            raise
        return entry.seen_deleted or not self.shifts.resumed_since(entry.namespace, entry.recorded_at)

    async def _finish(self, entry: Entry) -> None:
        """Releases an object whose task has ended, and plans its deletion."""
        if entry.gone:
            return  # the write of its end has found that out; the reconcile loop forgets it
        await self.objects.release(entry, finished=True)
        self.expiry.plan(entry.namespace, entry.name, entry.uid, entry.status, entry.ttl_seconds)
        self.register.record_finished(entry)


def _kept_seconds(ttl_seconds: int) -> int | None:
    """Returns how long the API keeps the task after its end. None, for an object that stays, leaves that to the API."""
    return None if ttl_seconds < 0 else min(ttl_seconds + OUTLIVES_OBJECT_SECONDS, LONGEST_KEPT_SECONDS)


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}
