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
    """Today's figures (UTC day) of one tenant; latencies in seconds from acceptance to the end, None without a task."""

    today_by_status: Mapping[TaskStatus, int]
    by_agent: Mapping[str, int]
    latency_p50_seconds: float | None
    latency_p95_seconds: float | None


class SystemRepository(Protocol):
    async def intake(self) -> Intake: ...

    async def set_intake(self, intake: Intake) -> None: ...

    async def statistics(self, tenant: Tenant | None) -> TaskStatistics: ...

    async def roll_up(self) -> None:
        """Writes the hourly figures of the last full hours into `system_metrics`; twice changes nothing."""

    async def ping(self) -> None:
        """Raises StoreUnavailable."""


class AgentDirectory(Protocol):
    """Agents that workers have published; an entry never expires by itself."""

    async def publish(self, cards: Sequence[AgentCard]) -> None: ...

    async def list_all(self) -> Sequence[AgentCard]: ...


class ScalingLog(Protocol):
    """The last 200 decisions of the autoscaler. All methods raise StoreUnavailable."""

    async def add(self, decision: ScalingDecision) -> None: ...

    async def latest(self) -> Sequence[ScalingDecision]:
        """The newest first."""
