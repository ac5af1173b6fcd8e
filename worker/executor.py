"""One task from ticket to end: claim, route, run the agent, write what came of it.

A ticket is only a hint: whatever stands in the task's document decides. Every way out of a run is one fenced write, or
none where the claim is lost. This is the process edge of a run: what an agent raises and nobody mapped ends here as
AGENT_FAULT.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from app.agents.base import Agent, AgentContext
from app.agents.history import trim_history
from app.agents.peer.graph import PeerAgent
from app.agents.registry import AgentRegistry
from app.agents.summary import summarise
from app.domain.agent import AgentOutput
from app.domain.identity import ClaimId, TaskId
from app.domain.message import Message
from app.domain.task import RESULT_BYTES_LIMIT, Requeue, Routing, Task, TaskResult, TaskStatus, other_version_delay
from app.domain.usage import ModelAttempt
from app.errors import (
    AgentFault,
    AgentUnavailable,
    ClaimLost,
    DeadlineExceeded,
    Postponed,
    ResultTooLarge,
    StoreError,
    StoreUnavailable,
    TaskFailure,
)
from app.llm.interface import BoundLLM, CallScope
from app.ports import AgentDirectory, Claim, ClaimRepository, Clock
from app.settings import Settings
from app.telemetry.logs import bind_log_context, get_logger, origin
from app.telemetry.metrics import TaskMetrics
from app.telemetry.tracing import Tracing, current_trace_id
from app.tools.search_tool import SearchTool
from worker.allowance import LeasedSearch, TaskAllowance
from worker.draining import Draining
from worker.journal import TaskJournal
from worker.leases import HeldClaim, Interruption, LeaseKeeper
from worker.outcome import GiveUp, after_failure
from worker.patience import until_answered
from worker.recent import RecentWork
from worker.store_watch import StoreWatch

PINNED_REASON = "The caller chose this agent."
HOLD_TICKET_SECONDS = 3.0
REQUEUED = "requeued"

_log = get_logger(__name__)


@dataclass(frozen=True)
class ExecutorParts:
    """What a run needs; built once per process. `bind_llm` is the gateway's; `finished` hears of every stored end."""

    claims: ClaimRepository
    directory: AgentDirectory
    leases: LeaseKeeper
    draining: Draining
    store_watch: StoreWatch
    registry: AgentRegistry
    bind_llm: Callable[[CallScope], BoundLLM]
    search: SearchTool
    finished: Callable[[Task], None]
    recent: RecentWork
    settings: Settings
    metrics: TaskMetrics
    tracing: Tracing
    clock: Clock
    owner: str


@dataclass(frozen=True)
class Run:
    """One claim under way. `ends_at` (monotonic) is when the task's processing time is used up."""

    task: Task
    held: HeldClaim
    journal: TaskJournal
    allowance: TaskAllowance
    ends_at: float


@dataclass(frozen=True)
class Ending:
    """How a run ends: `name` is the task's status, or `requeued`; `write` stores it, fenced."""

    name: str
    write: Callable[[], Awaitable[bool]]


class Executor:
    """Runs tasks; any number at once, each in its own asyncio task."""

    def __init__(self, parts: ExecutorParts) -> None:
        self._parts = parts
        self._peer = PeerAgent()
        self._execution = parts.settings.execution

    async def run(self, task_id: TaskId) -> None:
        """Runs the task of a ticket, if it is to be had; returns when its end, or return to the queue, is stored."""
        claim_id = ClaimId(uuid.uuid4().hex)
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
        """Holds the ticket through a short outage of the database; after that, lets it go and fetches no more.

        A worker that is drained takes nothing new: the task waits for another one.
        """

        async def take() -> Task | None:
            if await self._parts.draining.refuse(task_id):
                return None
            return await self._parts.claims.claim(task_id, owner=self._parts.owner, claim_id=claim_id)

        try:
            return await until_answered(take, action="claim", task_id=task_id, for_seconds=HOLD_TICKET_SECONDS)
        except StoreUnavailable:
            self._parts.store_watch.note_silence(task_id, claim_id)
            return None

    async def _run_claimed(self, task: Task, held: HeldClaim) -> None:
        began = self._parts.clock.monotonic()
        due_at = task.due_at or task.queued_at
        claimed_at = task.changed_at
        self._parts.metrics.task_wait_seconds.observe(max(0.0, (claimed_at - due_at).total_seconds()))
        _log.info("task_claimed", attempt=task.attempts, epoch=task.epoch, trace_id=current_trace_id())
        run = self._begin(task, held)
        try:
            status = await self._settle(run)
        except ClaimLost:
            _log.warning("run_discarded", epoch=task.epoch)
            return
        seconds = self._parts.clock.monotonic() - began
        if status != REQUEUED:
            self._count_end(run, status)
        if status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
            self._parts.recent.note_service(seconds)
        _log.info(f"task_{status}", duration_ms=round(seconds * 1000, 1), total_tokens=run.journal.usage.total_tokens)
        self._parts.finished(task)

    def _count_end(self, run: Run, status: str) -> None:
        agent = run.journal.agent_name or "none"
        age_seconds = (self._parts.clock.now() - run.task.created_at).total_seconds()
        self._parts.metrics.tasks.labels(status=status, agent=agent).inc()
        self._parts.metrics.task_seconds.labels(agent=agent).observe(max(0.0, age_seconds))

    def _begin(self, task: Task, held: HeldClaim) -> Run:
        left_seconds = self._deadline_seconds(task) - task.processing_ms / 1000
        journal = TaskJournal(task, held, self._parts.claims)
        return Run(
            task=task,
            held=held,
            journal=journal,
            allowance=TaskAllowance(task, held, journal),
            ends_at=self._parts.clock.monotonic() + left_seconds,
        )

    def _deadline_seconds(self, task: Task) -> int:
        return min(task.deadline_seconds, self._execution.deadline_seconds)

    def _remaining_seconds(self, run: Run) -> float:
        return run.ends_at - self._parts.clock.monotonic()

    async def _settle(self, run: Run) -> str:
        """Runs, and writes the one end that fits. Gives the name of that end. Raises ClaimLost."""
        ending = await self._ending(run)
        try:
            await self._store(run, ending)
        except StoreError as refusal:
            _log.error("end_refused", status=ending.name, code=refusal.code)
            failure = AgentFault("The database refused to store what the agent answered.")
            ending = self._after_failure(run, failure, keep_texts=False)
            await self._store(run, ending)
        return ending.name

    async def _store(self, run: Run, ending: Ending) -> None:
        """Writes the end in a task of its own: a cancel that comes now is too late, and whether the claim is lost, or
        the task has ended by this very write, the fence decides. Raises ClaimLost.
        """
        writing = asyncio.create_task(run.journal.write(ending.write))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            if run.held.interruption not in (Interruption.CANCELLED, Interruption.LOST):
                writing.cancel()
                self._raise_interruption(run)
            run.held.run.uncancel()
            try:
                await writing
            except asyncio.CancelledError:
                self._raise_interruption(run)

    async def _ending(self, run: Run) -> Ending:
        """Runs the task and decides how it ends; writes nothing but steps. Raises ClaimLost."""
        try:
            return self._completed(run, await self._run_within_deadline(run))
        except Postponed as reason:
            return self._handed_back(run, reason)
        except TaskFailure as failure:
            return self._after_failure(run, failure)
        except asyncio.CancelledError:
            return self._interrupted(run)
        except ClaimLost:
            raise
        except Exception as fault:  # noqa: BLE001  # the edge of a run: an agent's fault ends its task, not the worker
            _log.error("agent_fault", error_class=type(fault).__name__, where=origin(fault))
            unmapped = AgentFault(f"The agent failed with {type(fault).__name__}; the worker's log has the details.")
            return self._after_failure(run, unmapped)

    def _handed_back(self, run: Run, reason: Postponed) -> Ending:
        claims, claim, update = self._parts.claims, run.held.claim, run.journal.take_update()
        delay_seconds = 0.0 if run.held.hand_back else other_version_delay(run.task.handbacks)
        _log.info("task_handed_back", reason=reason.message)
        return Ending(
            REQUEUED,
            lambda: claims.requeue(claim, update, reason=Requeue.HANDBACK, delay_seconds=delay_seconds, error=None),
        )

    def _interrupted(self, run: Run) -> Ending:
        if run.held.interruption is not Interruption.CANCELLED:
            self._raise_interruption(run)
        run.held.run.uncancel()
        claims, claim, update = self._parts.claims, run.held.claim, run.journal.take_update()
        return Ending(TaskStatus.CANCELLED.value, lambda: claims.cancel(claim, update))

    def _raise_interruption(self, run: Run) -> NoReturn:
        if run.held.interruption in (Interruption.LOST, Interruption.ABANDONED):
            raise ClaimLost(f"task {run.task.id}: another worker may own it")
        raise asyncio.CancelledError

    async def _run_within_deadline(self, run: Run) -> AgentOutput:
        seconds = self._deadline_seconds(run.task)
        exceeded = DeadlineExceeded(f"The task did not end within its {seconds} seconds of processing time.")
        left_seconds = self._remaining_seconds(run)
        if left_seconds <= 0:
            raise exceeded
        try:
            async with asyncio.timeout(left_seconds) as timeout:
                return await self._route_and_run(run)
        except TimeoutError as error:
            if timeout.expired():
                raise exceeded from error
            raise

    async def _route_and_run(self, run: Run) -> AgentOutput:
        context = await self._context(run)
        routing = await self._route(run.task, context)
        agent = await self._agent(routing.agent_name, task_id=run.task.id)
        kind = agent.card.agent_type
        run.journal.note_routing(routing, agent_type=kind)
        with bind_log_context(agent_name=routing.agent_name):
            _log.info("task_routed", confidence=routing.confidence)
            await run.journal.flush()
            return await self._timed(kind, lambda: agent.run(context.for_agent(kind, self._bind(run, kind))))

    async def _timed(self, kind: str, run: Callable[[], Awaitable[AgentOutput]]) -> AgentOutput:
        began = self._parts.clock.monotonic()
        status = "error"
        try:
            with self._parts.tracing.span(f"agents.{kind}.execute"):
                output = await run()
            status = "success"
            return output
        finally:
            seconds = self._parts.clock.monotonic() - began
            self._parts.metrics.workflow_seconds.labels(workflow_type=kind, status=status).observe(seconds)

    async def _context(self, run: Run) -> AgentContext:
        parts = self._parts
        return AgentContext(
            task=run.task,
            history=await self._history(run),
            llm=self._bind(run, "peer"),
            search=LeasedSearch(parts.search, run.held),
            journal=run.journal,
            cards=[card for card in parts.registry.cards() if card.routable],
            min_confidence=parts.settings.agents.routing_min_confidence,
            clock=parts.clock,
            metrics=parts.metrics,
            tracing=parts.tracing,
            workflow_type="peer",
        )

    async def _history(self, run: Run) -> Sequence[Message]:
        task = run.task
        if task.history is not None:
            return task.history
        earlier = await until_answered(
            lambda: self._parts.claims.history(task.tenant, task.session_id, before=task),
            action="read history",
            task_id=task.id,
        )
        history = trim_history(earlier, max_tokens=self._execution.history_tokens)
        run.journal.note_history(history)
        return history

    def _bind(self, run: Run, kind: str) -> BoundLLM:
        def note(attempt: ModelAttempt) -> None:
            run.journal.observe(attempt)
            self._parts.recent.note_attempt(attempt)

        return self._parts.bind_llm(
            CallScope(
                task_id=run.task.id,
                request_id=run.task.request_id,
                tenant=run.task.tenant,
                workflow_type=kind,
                allowance=run.allowance,
                remaining_seconds=lambda: self._remaining_seconds(run),
                on_attempt=note,
                step=run.journal.current_step,
            )
        )

    async def _route(self, task: Task, context: AgentContext) -> Routing:
        if task.agent is not None:
            return Routing(agent_name=task.agent, reasoning=PINNED_REASON)
        if task.routing is not None:
            return task.routing
        with self._parts.tracing.span("agents.peer.execute"):
            return await self._peer.route(context)

    async def _agent(self, name: str, *, task_id: str) -> Agent:
        try:
            return self._parts.registry.get(name)
        except AgentUnavailable:
            published = await until_answered(self._parts.directory.list_all, action="read agents", task_id=task_id)
            if any(card.name == name for card in published):
                raise Postponed(f"agent {name} runs in a worker of another version") from None
            raise

    def _completed(self, run: Run, output: AgentOutput) -> Ending:
        if len(output.content.encode(errors="replace")) > RESULT_BYTES_LIMIT:
            raise ResultTooLarge(f"The answer is larger than {RESULT_BYTES_LIMIT} bytes, the most that is kept.")
        result = _result_of(output)
        claims, claim, update = self._parts.claims, run.held.claim, run.journal.take_update(result.raw_output)
        return Ending(TaskStatus.COMPLETED.value, lambda: claims.complete(claim, update, result))

    def _after_failure(self, run: Run, failure: TaskFailure, *, keep_texts: bool = True) -> Ending:
        """The end after a failure; without `keep_texts` it holds nothing that an agent wrote."""
        claims, claim = self._parts.claims, run.held.claim
        verdict = after_failure(failure, run.task, self._execution, fraction=random.random())
        update = run.journal.take_update()
        if isinstance(verdict, GiveUp):
            partial = _partial(run.journal.latest_text()) if keep_texts else None
            _log.warning("task_error", error_type=verdict.error.type)
            return Ending(TaskStatus.FAILED.value, lambda: claims.fail(claim, update, verdict.error, partial))
        _log.warning("task_retried", error_type=verdict.error.type, delay_seconds=round(verdict.delay_seconds, 3))
        return Ending(
            REQUEUED,
            lambda: claims.requeue(
                claim, update, reason=verdict.reason, delay_seconds=verdict.delay_seconds, error=verdict.error
            ),
        )


def _result_of(output: AgentOutput) -> TaskResult:
    return TaskResult.of(
        output.content,
        summary=summarise(output),
        code_language=output.code_language,
        citations=output.citations,
    )


def _partial(text: str | None) -> TaskResult | None:
    if text is None:
        return None
    return TaskResult.of(text, summary="Partial answer: the task failed before it was complete.")
