"""The autoscaler's last decisions: written by the operator, read by people."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.scaling import ScalingDecision
from app.ports import ScalingLog


class ScalingDecisionService:
    """The last 200 decisions. All methods raise StoreUnavailable."""

    def __init__(self, log: ScalingLog) -> None:
        self._log = log

    async def record(self, decision: ScalingDecision) -> None:
        """Records a decision; one that is submitted again is recorded once."""
        await self._log.add(decision)

    async def latest(self) -> Sequence[ScalingDecision]:
        """Reads the decisions, newest first."""
        return await self._log.latest()
