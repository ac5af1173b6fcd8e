"""The state of one run, and the parts of the process that all runs share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from app.agents.registry import AgentRegistry
from app.domain.task import Task
from app.errors import ClaimLost
from app.llm.interface import BoundLLM, CallScope
from app.ports import AgentDirectory, ClaimRepository, Clock
from app.settings import Settings
from app.telemetry.metrics import TaskMetrics
from app.telemetry.tracing import Tracing
from app.tools.search_tool import SearchTool
from worker.allowance import TaskAllowance
from worker.draining import Draining
from worker.journal import TaskJournal
from worker.leases import HeldClaim, Interruption, LeaseKeeper
from worker.recent import RecentWork
from worker.store_watch import StoreWatch


@dataclass(frozen=True)
class RunParts:
    """The parts that every run needs, built once per process.

    `bind_llm` is the gateway's; `on_end` is called after an end, or a return to the queue, is stored.
    """

    claims: ClaimRepository
    directory: AgentDirectory
    leases: LeaseKeeper
    draining: Draining
    store_watch: StoreWatch
    registry: AgentRegistry
    bind_llm: Callable[[CallScope], BoundLLM]
    search: SearchTool
    on_end: Callable[[Task], None]
    recent: RecentWork
    settings: Settings
    metrics: TaskMetrics
    tracing: Tracing
    clock: Clock


@dataclass(frozen=True)
class RunContext:
    """One claim under way. `ends_at` (monotonic) is the moment at which the task's processing time is used up."""

    task: Task
    held: HeldClaim
    journal: TaskJournal
    allowance: TaskAllowance
    claims: ClaimRepository
    ends_at: float

    def remaining_seconds(self) -> float:
        return self.ends_at - self.held.clock.monotonic()

    def raise_interruption(self) -> NoReturn:
        """Raises ClaimLost if another worker may own the task; else CancelledError, because the process ends."""
        if self.held.interruption in (Interruption.LOST, Interruption.ABANDONED):
            raise ClaimLost(f"task {self.task.id}: another worker may own it")
        raise asyncio.CancelledError
