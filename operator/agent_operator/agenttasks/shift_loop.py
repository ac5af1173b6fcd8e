"""The shift loop: renews the shifts, and takes over the namespaces of a release that is gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agent_operator.agenttasks.restart import RestartNeeded, restart
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError
from agent_operator.kube.events import EventRecorder
from agent_operator.kube.leases import RENEW_SECONDS
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

RENEWALS_AT_ONCE = 10  # half of the connections: renewals that hang must leave some for everything else

_log = get_logger(__name__)


@dataclass(frozen=True)
class ShiftLoop:
    """The renewal of all shifts every `RENEW_SECONDS`."""

    shifts: Shifts
    events: EventRecorder
    metrics: AgentTaskMetrics
    pulse: Pulse
    _announced: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Renews the shifts until it is cancelled."""
        while True:
            self.announce()
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew_all()
            except RestartNeeded as needed:
                await restart(needed)

    async def renew_all(self) -> None:
        """Renews each shift once; a webhook that hangs in one namespace holds up no other.

        Raises RestartNeeded, when all have been tried.
        """
        self.pulse.beat("shifts")
        room = asyncio.Semaphore(RENEWALS_AT_ONCE)
        renewals = (self._renew(namespace, room) for namespace in self.shifts.namespaces)
        for failure in await asyncio.gather(*renewals, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _renew(self, namespace: str, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                await self.shifts.renew(namespace)
            except ClusterError as error:
                _log.warning("lease_not_renewed", namespace=namespace, reason=error.reason)
            finally:
                self.pulse.beat("shifts")

    def announce(self) -> None:
        """Shows which namespaces are not served because another release holds them: once for each, and as a gauge."""
        self.metrics.operator_foreign_namespaces.set(len(self.shifts.foreign))
        self._announced.intersection_update(self.shifts.foreign)  # the name of one that is gone may come back
        for namespace, lease in self.shifts.foreign.items():
            if namespace in self._announced:
                continue
            self._announced.add(namespace)
            _log.error("namespace_held_by_another", namespace=namespace, holder=lease.holder)
            message = (
                f"The release {lease.holder} serves the AgentTasks of {namespace}, so this one does not. It takes over "
                "when the other one is gone and its Lease has run out."
            )
            self.events.emit(lease.reference, reason="NamespaceHeld", message=message, warning=True)
