"""The agent's part of a run: the router chooses the agent, the agent answers, and spans and metrics are recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from app.agents.base import Agent, AgentContext
from app.agents.history import trim_history
from app.agents.peer.graph import PEER_AGENT, PeerAgent
from app.domain.agent import AgentOutput
from app.domain.message import Message
from app.domain.task import Routing, Task
from app.domain.usage import ModelAttempt
from app.errors import AgentUnavailable, Postponed
from app.llm.interface import BoundLLM, CallScope
from app.telemetry.logs import bind_log_context, get_logger
from worker.allowance import LeasedSearch
from worker.patience import until_answered
from worker.run_context import RunContext, RunParts

PINNED_REASON = "The caller chose this agent."

_log = get_logger(__name__)


class AgentRunner:
    """The router and the agents, for all runs. Raises what they raise; decides no ending."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._peer = PeerAgent()

    async def run(self, run: RunContext) -> AgentOutput:
        """Returns the answer of the task's agent. Raises TaskFailure, Postponed, ClaimLost, or an agent's own fault."""
        context = await self._build_context(run)
        routing = await self._route(run.task, context)
        agent = await self._find_agent(routing.agent_name, task_id=run.task.id)
        kind = agent.card.agent_type
        run.journal.record_routing(routing, agent_type=kind)
        with bind_log_context(agent_name=routing.agent_name):
            _log.info("task_routed", confidence=routing.confidence)
            await run.journal.flush()
            own = context.for_agent(agent.card, self._bind_llm(run, kind))
            return await self._run_timed(kind, lambda: agent.run(own))

    async def _run_timed(self, kind: str, run: Callable[[], Awaitable[AgentOutput]]) -> AgentOutput:
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

    async def _build_context(self, run: RunContext) -> AgentContext:
        parts = self._parts
        return AgentContext(
            task=run.task,
            history=await self._read_history(run),
            llm=self._bind_llm(run, "peer"),
            search=LeasedSearch(parts.search, run.held),
            journal=run.journal,
            cards=[card for card in parts.registry.cards() if card.routable],
            min_confidence=parts.settings.agents.routing_min_confidence,
            clock=parts.clock,
            metrics=parts.metrics,
            tracing=parts.tracing,
            agent_name=PEER_AGENT,
            workflow_type="peer",
        )

    async def _read_history(self, run: RunContext) -> Sequence[Message]:
        task = run.task
        if task.history is not None:
            # Recorded by an earlier run. The session may have gone on since; other inputs would repeat paid steps.
            return task.history
        earlier = await until_answered(
            lambda: self._parts.claims.history(task.tenant, task.session_id, before=task),
            action="read history",
            task_id=task.id,
        )
        history = trim_history(earlier, max_tokens=self._parts.settings.execution.history_tokens)
        run.journal.record_history(history)
        return history

    def _bind_llm(self, run: RunContext, kind: str) -> BoundLLM:
        def record_attempt(attempt: ModelAttempt) -> None:
            run.journal.observe(attempt)
            self._parts.recent.record_attempt(attempt)

        return self._parts.bind_llm(
            CallScope(
                task_id=run.task.id,
                request_id=run.task.request_id,
                tenant=run.task.tenant,
                workflow_type=kind,
                allowance=run.allowance,
                remaining_seconds=run.remaining_seconds,
                on_attempt=record_attempt,
                step=run.journal.current_step,
                earlier_runs=run.task.retries,
            )
        )

    async def _route(self, task: Task, context: AgentContext) -> Routing:
        if task.agent is not None:
            return Routing(agent_name=task.agent, reasoning=PINNED_REASON)
        if task.routing is not None:
            return task.routing
        with self._parts.tracing.span("agents.peer.execute"):
            return await self._peer.route(context)

    async def _find_agent(self, name: str, *, task_id: str) -> Agent:
        """Returns the agent. Raises Postponed if a worker of another version has it, AgentUnavailable if none has."""
        try:
            return self._parts.registry.get(name)
        except AgentUnavailable:
            published = await until_answered(self._parts.directory.list_all, action="read agents", task_id=task_id)
            if any(card.name == name for card in published):
                raise Postponed(f"agent {name} runs in a worker of another version") from None
            raise
