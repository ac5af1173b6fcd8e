"""The supervision of agents: a run ends when it has to, whatever the agent does with requests to cancel it.

An agent may swallow a cancellation, or catch it in a library. Its code therefore runs in an asyncio task of its own,
and the run waits only a moment for that task to stop. An agent that goes on gets no slot, no call and no part in the
end of the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.domain.agent import AgentOutput
from app.errors import AgentFault, DeadlineExceeded
from app.telemetry.logs import get_logger
from worker.leases import HeldClaim
from worker.run_context import RunContext

STOP_SECONDS = 5.0  # for an agent to close what it has open

_log = get_logger(__name__)


class AgentSupervisor:
    """The agents of this process that run, or have not stopped yet."""

    def __init__(self) -> None:
        # The event loop keeps only weak references to its tasks.
        self._left_behind: set[asyncio.Task[AgentOutput]] = set()

    async def run(
        self, work: Callable[[], Coroutine[Any, Any, AgentOutput]], run: RunContext, *, deadline_seconds: int
    ) -> AgentOutput:
        """Does the work, within the time that the run has left of the task's deadline.

        Raises DeadlineExceeded, AgentFault if the agent cancels itself, CancelledError if the run is cancelled, and
        whatever the agent raises.
        """
        exceeded = DeadlineExceeded(f"The task did not end within its {deadline_seconds} seconds of processing time.")
        left_seconds = run.remaining_seconds()
        if left_seconds <= 0:
            raise exceeded
        held = run.held
        agent = asyncio.create_task(work(), name=f"agent-{run.task.id}")
        try:
            async with asyncio.timeout(left_seconds) as timeout:
                return await asyncio.shield(agent)
        except TimeoutError as error:
            if timeout.expired():  # an agent may raise a TimeoutError of its own, long before the deadline
                raise exceeded from error
            raise
        except asyncio.CancelledError as error:
            if agent.cancelled() and not held.run.cancelling():
                raise AgentFault("The agent cancelled itself.") from error
            raise
        finally:
            if not agent.done():
                await self._stop(agent, held)

    async def _stop(self, agent: asyncio.Task[AgentOutput], held: HeldClaim) -> None:
        held.refuse_calls()
        self._left_behind.add(agent)
        agent.add_done_callback(self._forget)
        agent.cancel()
        await asyncio.wait([agent], timeout=STOP_SECONDS)
        if not agent.done():
            _log.error("agent_does_not_stop", seconds=STOP_SECONDS)

    def _forget(self, agent: asyncio.Task[AgentOutput]) -> None:
        self._left_behind.discard(agent)
        if not agent.cancelled():
            agent.exception()  # read, or asyncio would log it; the run has ended for another reason
