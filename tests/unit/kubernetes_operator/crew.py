"""An operator without its loops: each duty is done once when it is told to, in a world of doubles."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.mirror import Mirror
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.reconcile import Reconciler
from agent_operator.agenttasks.register import FINISHED_LABEL, Register
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.agenttasks.survey import Survey
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import Cluster, ClusterError, NotThere
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.backpressure import Gate
from agent_operator.rest.rest_client import Orchestrator, OrchestratorAway
from app.telemetry.metrics import OperatorMetrics
from tests.unit.kubernetes_operator.world import NOW, FakeCluster, FakeOrchestrator, World

CLUSTER = "here"


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Crew:
    """A fresh operator: what it knows it has from the world."""

    def __init__(
        self,
        world: World,
        *,
        lost_after_seconds: float = 600.0,
        register: Register | None = None,
        cluster: str = CLUSTER,
    ) -> None:
        self.world = world
        self.clock = Clock()
        metrics, pulse, self.work = OperatorMetrics(version="test").agenttasks, Pulse(), WorkQueue()
        objects = AgentTasks(cast("Cluster", FakeCluster(world)))
        orchestrator = cast("Orchestrator", FakeOrchestrator(world))
        self.register = Register() if register is None else register
        events = EventRecorder(objects.cluster, metrics)
        writer = StatusWriter(objects, self.clock, metrics)
        self.expiry = Expiry(objects, self.clock, metrics, pulse, horizon=timedelta(hours=1))
        self.mirror = Mirror(
            orchestrator, self.register, writer, events, self.work, metrics, pulse, cluster,
            lost_after_seconds=lost_after_seconds,
        )  # fmt: skip
        self.survey = Survey(objects, orchestrator, self.register, self.expiry, self.work, self.clock, pulse, cluster)
        self.reconciler = Reconciler(
            objects, orchestrator, self.register, writer, events, self.expiry, Gate(), self.clock, metrics, cluster
        )

    def see_all(self) -> None:
        """What a watch tells when it begins: every object that has not the label of the finished."""
        for body in list(self.world.objects.values()):
            if FINISHED_LABEL not in body["metadata"].get("labels", {}):
                self.register.note(_copy(body))

    def miss(self, uid: str) -> None:
        """The watch says that an object is gone."""
        entry = self.register.get(uid)
        if entry is not None:
            entry.gone = True

    async def reconcile_all(self) -> None:
        """Every object once; what cannot be done now is left for the next time."""
        for entry in self.register:
            try:
                await self.reconciler.reconcile(entry)
            except NotThere:
                self.register.forget(entry)
            except (OrchestratorAway, ClusterError):
                continue

    async def mirror_all(self) -> None:
        """One look at the tasks, and what it shows written down."""
        await self.mirror.look_at_all()
        for entry in self.register:
            await self.mirror._write(entry.uid)

    async def go_round(self, times: int = 1) -> None:
        for _ in range(times):
            self.see_all()
            await self.reconcile_all()
            await self.mirror_all()
            await self.reconcile_all()


def _copy(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": dict(body["metadata"]), "spec": dict(body["spec"])}
