"""The executor runs one task from its ticket to its end: claim, route, run the agent, write what came of it.

A ticket is only a hint: the task's document decides. Every way out of a run is one fenced write, or none if the claim
is lost. This is the process edge of a run: an exception of an agent that nothing mapped ends the task as AGENT_FAULT.
"""

from __future__ import annotations

import asyncio
import uuid

from app.domain.identity import ClaimId, TaskId
from app.domain.task import Task, TaskStatus
from app.errors import (
    AgentFault,
    ClaimLost,
    Postponed,
    StoreError,
    StoreUnavailable,
    TaskFailure,
)
from app.ports import Claim
from app.telemetry.logs import bind_log_context, get_logger, origin
from app.telemetry.tracing import current_trace_id
from worker.agent_runner import AgentRunner
from worker.allowance import TaskAllowance
from worker.endings import REQUEUED, Ending, completed, handed_back, interrupted, retried_or_failed
from worker.journal import TaskJournal
from worker.leases import HeldClaim, Interruption
from worker.patience import until_answered
from worker.run_context import RunContext, RunParts
from worker.supervision import AgentSupervisor

# A shorter outage costs no ticket. A longer one may be this worker's alone, so the task waits for another worker.
HOLD_TICKET_SECONDS = 3.0

_log = get_logger(__name__)


class Executor:
    """The runner of tasks: any number at once, each in its own asyncio task."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._agents = AgentRunner(parts)
        self._supervisor = AgentSupervisor()
        self._execution = parts.settings.execution

    async def run(self, task_id: TaskId) -> None:
        """Runs the task of a ticket if it can be claimed; returns when its end, or return to the queue, is stored."""
        claim_id = ClaimId(uuid.uuid4().hex)
        # Taken before the claim is sent: the database starts the lease later, so the local clock ends it first.
        claimed_at = self._parts.clock.monotonic()
        task = await self._claim(task_id, claim_id)
        if task is None:
            _log.debug("ticket_dropped", task_id=task_id)
            return
        held = self._parts.leases.hold(
            Claim(task_id=task.id, claim_id=claim_id, epoch=task.epoch), claimed_at=claimed_at
        )
        self._parts.metrics.busy_slots.inc()
        try:
            with (
                bind_log_context(request_id=task.request_id, task_id=task.id, session_id=task.session_id),
                self._parts.tracing.span(
                    "agents.task.execute",
                    traceparent=task.traceparent,
                    attributes={"workflow.id": task.id, "correlation_id": task.request_id, "user.id": task.tenant},
                ),
            ):
                await self._run_claimed(task, held)
        finally:
            self._parts.metrics.busy_slots.dec()
            self._parts.leases.drop(claim_id)

    async def _claim(self, task_id: TaskId, claim_id: ClaimId) -> Task | None:
        """Holds the ticket through a short outage of the database; after that, drops it and pauses fetching.

        A worker that is drained claims nothing new: the task waits for another one.
        """

        async def claim_unless_draining() -> Task | None:
            # Inside the repeated operation: a drain that begins during an outage must still stop the claim.
            if await self._parts.draining.refuse(task_id):
                return None
            return await self._parts.claims.claim(task_id, claim_id=claim_id)

        try:
            return await until_answered(
                claim_unless_draining, action="claim", task_id=task_id, for_seconds=HOLD_TICKET_SECONDS
            )
        except StoreUnavailable:
            # The claim may have been granted and only its answer lost: the store watch undoes it later.
            self._parts.store_watch.record_unanswered_claim(task_id, claim_id)
            return None

    async def _run_claimed(self, task: Task, held: HeldClaim) -> None:
        began = self._parts.clock.monotonic()
        claimed_at = task.changed_at  # the claim was the document's last change, by the database's clock
        waited = claimed_at - (task.due_at or task.queued_at)
        self._parts.metrics.task_wait_seconds.observe(max(0.0, waited.total_seconds()))
        _log.info("task_claimed", attempt=task.attempts, epoch=task.epoch, trace_id=current_trace_id())
        run = self._begin(task, held)
        try:
            status = await self._run_to_stored_end(run)
        except ClaimLost:
            _log.warning("run_discarded", epoch=task.epoch)
            return
        self._record_end(run, status, seconds=self._parts.clock.monotonic() - began)

    def _record_end(self, run: RunContext, status: str, *, seconds: float) -> None:
        if status != REQUEUED:
            self._count_end(run, status)
        if status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
            # A cancelled or requeued run is no sample of how long a task takes, and the autoscaler plans with the mean.
            self._parts.recent.record_service(seconds)
        _log.info(f"task_{status}", duration_ms=round(seconds * 1000, 1), total_tokens=run.journal.usage.total_tokens)
        self._parts.on_end(run.task)

    def _count_end(self, run: RunContext, status: str) -> None:
        agent = run.journal.agent_name or "none"
        age_seconds = (self._parts.clock.now() - run.task.created_at).total_seconds()
        self._parts.metrics.tasks.labels(status=status, agent=agent).inc()
        self._parts.metrics.task_seconds.labels(agent=agent).observe(max(0.0, age_seconds))

    def _begin(self, task: Task, held: HeldClaim) -> RunContext:
        left_seconds = self._deadline_seconds(task) - task.processing_ms / 1000
        journal = TaskJournal(task, held, self._parts.claims)
        return RunContext(
            task=task,
            held=held,
            journal=journal,
            allowance=TaskAllowance(task, held, journal),
            claims=self._parts.claims,
            ends_at=self._parts.clock.monotonic() + left_seconds,
        )

    def _deadline_seconds(self, task: Task) -> int:
        return min(task.deadline_seconds, self._execution.deadline_seconds)

    async def _run_to_stored_end(self, run: RunContext) -> str:
        """Runs the task and writes the one end that fits; returns the name of that end. Raises ClaimLost."""
        ending = await self._run_to_ending(run)
        try:
            await self._write_ending(run, ending)
        except StoreError as refusal:
            # The database answered and refused, so a repeat is refused too: perhaps the texts are what it cannot store.
            _log.error("end_refused", status=ending.name, error_code=refusal.code)
            failure = AgentFault("The database refused to store what the agent answered.")
            ending = retried_or_failed(run, failure, self._execution, keep_texts=False)
            await self._write_ending(run, ending)
        return ending.name

    async def _write_ending(self, run: RunContext, ending: Ending) -> None:
        """Writes the end in an asyncio task of its own, which a cancel of the run does not reach. Raises ClaimLost.

        A cancel that comes now is too late. The fence decides whether the claim is lost, or whether the task has ended
        by this very write.
        """
        writing = asyncio.create_task(run.journal.write(ending.write))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            if run.held.interruption not in (Interruption.CANCELLED, Interruption.LOST):
                writing.cancel()
                run.raise_interruption()
            # The write may have reached the database already, so this request to cancel is taken back and the answer
            # is awaited: the heartbeat reports a claim as lost also after the task has ended by this write.
            run.held.run.uncancel()
            try:
                await writing
            except asyncio.CancelledError:  # a second one: the worker stops and the database does not answer
                run.raise_interruption()

    async def _run_to_ending(self, run: RunContext) -> Ending:
        """Runs the task and decides how it ends; writes nothing except steps. Raises ClaimLost."""
        try:
            deadline_seconds = self._deadline_seconds(run.task)
            output = await self._supervisor.run(lambda: self._agents.run(run), run, deadline_seconds=deadline_seconds)
            return completed(run, output)
        except Postponed as reason:
            return handed_back(run, reason)
        except TaskFailure as failure:
            return retried_or_failed(run, failure, self._execution)
        except asyncio.CancelledError:
            return interrupted(run)
        except ClaimLost:
            raise
        except Exception as fault:  # noqa: BLE001  # the edge of a run: an agent's fault ends its task, not the worker
            # Only the class leaves this process: the message of a foreign exception may hold a prompt or a secret.
            _log.error("agent_fault", error_class=type(fault).__name__, where=origin(fault))
            unmapped = AgentFault(f"The agent failed with {type(fault).__name__}; the worker's log has the details.")
            return retried_or_failed(run, unmapped, self._execution)
