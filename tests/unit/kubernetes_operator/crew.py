"""An operator without its loops: a test calls each duty once, in a world of doubles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.mirror import Mirror
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.reconcile import Reconciler
from agent_operator.agenttasks.register import FINISHED_LABEL, Register
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.agenttasks.survey import Survey
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import Cluster, ClusterError, NotThere
from agent_operator.kube.events import EventRecorder
from agent_operator.kube.leases import Leases
from agent_operator.rest.backpressure import Backpressure
from agent_operator.rest.rest_client import RestClient, RestUnavailable
from app.telemetry.metrics import OperatorMetrics
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import FakeCluster, FakeRest, World

CLUSTER = "here"


class Crew:
    """A fresh operator, which knows only what it reads from the world."""

    def __init__(
        self,
        world: World,
        *,
        lost_after_seconds: float = 600.0,
        register: Register | None = None,
        cluster: str = CLUSTER,
        namespaces: tuple[str, ...] = (),
        waiting_for: tuple[str, ...] = (),
        clock: ManualClock | None = None,
        finalizer: bool = True,
    ) -> None:
        self.world = world
        self.clock = clock or ManualClock()
        metrics, pulse, self.work = OperatorMetrics(version="test").agenttasks, Pulse(self.clock), WorkQueue()
        self.metrics = metrics
        objects = AgentTasks(cast("Cluster", FakeCluster(world)), namespaces, finalizer)
        rest = cast("RestClient", FakeRest(world))
        self.shifts = Shifts(Leases(objects.cluster, "release"), self.clock)
        self.register = Register(self.clock) if register is None else register
        events = EventRecorder(objects.cluster, metrics, self.clock)
        writer = StatusWriter(objects, self.clock, metrics)
        self.expiry = Expiry(objects, self.clock, metrics, pulse, horizon=timedelta(hours=1))
        self.mirror = Mirror(
            rest, self.register, writer, events, self.work, self.clock, metrics, pulse, cluster,
            lost_after_seconds=lost_after_seconds,
        )  # fmt: skip
        self.survey = Survey(
            objects, rest, self.register, self.expiry, self.work, self.clock, pulse, metrics, cluster, self.shifts,
            waiting_for,
        )  # fmt: skip
        self.reconciler = Reconciler(
            objects,
            rest,
            self.register,
            writer,
            events,
            self.expiry,
            Backpressure(self.clock),
            self.clock,
            metrics,
            cluster,
            self.shifts,
        )

    def see_all(self) -> None:
        """Records what a watch shows when it begins: every object without the label of the finished ones."""
        for body in list(self.world.objects.values()):
            if FINISHED_LABEL not in body["metadata"].get("labels", {}):
                self.register.record(_copy(body))

    def mark_missing(self, uid: str) -> None:
        """Marks an object as one that the watch no longer shows."""
        entry = self.register.get(uid)
        if entry is not None:
            entry.gone = True

    def see_deleted(self, uid: str) -> None:
        """Marks an object as one whose deletion the watch has shown."""
        entry = self.register.get(uid)
        assert entry is not None
        entry.gone = entry.seen_deleted = True

    async def reconcile_all(self) -> None:
        """Reconciles every object once, and leaves those that fail for the next time."""
        for entry in self.register:
            try:
                await self.reconciler.reconcile(entry)
            except NotThere:
                self.register.forget(entry)
            except (RestUnavailable, ClusterError):
                continue

    async def mirror_all(self) -> None:
        """Compares all tasks once, and writes their states."""
        await self.mirror.check_all()
        for entry in self.register:
            await self.mirror._write(entry.uid)

    async def go_round(self, times: int = 1) -> None:
        """Runs the duties of reconciler and mirror, `times` times."""
        for _ in range(times):
            self.see_all()
            await self.reconcile_all()
            await self.mirror_all()
            await self.reconcile_all()


def _copy(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": dict(body["metadata"]), "spec": dict(body["spec"])}
