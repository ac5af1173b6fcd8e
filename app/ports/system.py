"""The system as a whole: intake, statistics, published agents, the autoscaler's decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.agent import AgentCard
from app.domain.identity import Tenant
from app.domain.intake import Intake
from app.domain.scaling import ScalingDecision
from app.domain.task import TaskStatus


@dataclass(frozen=True)
class TaskStatistics:
    """The figures of one tenant for today (UTC). Latencies are seconds from acceptance to end, None without a task.

    `exact` is False if counting ended at a limit: then at least so many are queued.
    """

    today_by_status: Mapping[TaskStatus, int]
    by_agent: Mapping[str, int]
    exact: bool
    latency_p50_seconds: float | None
    latency_p95_seconds: float | None


class RollUp(Protocol):
    """The hourly figures, as the leader keeps them up to date."""

    async def roll_up(self) -> None:
        """Writes the hourly figures of the last full hours into `system_metrics`. A repeat changes nothing."""


class SystemRepository(RollUp, Protocol):
    """The intake switch and the figures over all tasks."""

    async def intake(self) -> Intake: ...

    async def set_intake(self, intake: Intake) -> None: ...

    async def statistics(self, tenant: Tenant | None) -> TaskStatistics:
        """Counts today's tasks of the tenant; of all tenants if it is None."""

    async def ping(self) -> None:
        """Raises StoreUnavailable."""


class AgentDirectory(Protocol):
    """The agents that workers have published. An entry never expires by itself."""

    async def publish(self, cards: Sequence[AgentCard]) -> None: ...

    async def list_all(self) -> Sequence[AgentCard]: ...


class ScalingLog(Protocol):
    """The last 200 decisions of the autoscaler. All methods raise StoreUnavailable."""

    async def add(self, decision: ScalingDecision) -> None: ...

    async def latest(self) -> Sequence[ScalingDecision]:
        """Reads them, newest first."""
