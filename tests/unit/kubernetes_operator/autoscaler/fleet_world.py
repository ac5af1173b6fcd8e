"""A world of workers in pods, for the autoscaler.

Kubernetes removes pods in the order of its ReplicaSet controller, and a worker claims tasks unless it is drained. A
worker whose pod is removed while it runs a task, or could claim one, is `wronged`.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agent_operator.autoscaler.decide import Demand
from agent_operator.autoscaler.figures import Figures
from agent_operator.autoscaler.fleet import COST_ANNOTATION
from agent_operator.kube.cluster import HasChanged
from agent_operator.rest.rest_client import RestRefused
from app.domain.worker_state import WorkerPresence
from tests.unit.kubernetes_operator.world import Fate, Killed

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SLOTS = 4


@dataclass
class Worker:
    """A worker in the pod of its name. `speaks`: it publishes its presence; `ready`: its probe answers."""

    worker_id: str
    running: int = 0
    drained: bool = False
    speaks: bool = True
    ready: bool = True


@dataclass
class FleetWorld:
    """The state of all servers: `workers` by pod, None in a pod that has not started."""

    fate: Fate = field(default_factory=Fate)
    workers: dict[str, Worker | None] = field(default_factory=dict)
    costs: dict[str, str] = field(default_factory=dict)
    replicas: int = 0
    version: int = 1
    backlog: int = 0
    oldest_age_seconds: float = 0.0
    age_seconds: float = 0.0
    silent: bool = False
    taken: list[str] = field(default_factory=list)
    wronged: list[str] = field(default_factory=list)
    lags: bool = False
    other_scaler: str | None = None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _ticks: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, name: str, worker: Worker | None) -> None:
        self.workers[name] = worker
        self.replicas += 1

    def start(self, running: int = 0, **fields: Any) -> Worker:
        return Worker(f"w{next(self._numbers)}", running=running, **fields)

    def controller(self) -> None:
        """Brings the pods to the number of replicas."""
        while len(self.workers) > self.replicas:
            name = min(self.workers, key=self._rank)
            worker = self.workers.pop(name)
            self.costs.pop(name, None)
            self.taken.append(name)
            if worker is not None and (worker.running or not worker.drained):
                self.wronged.append(name)
        while len(self.workers) < self.replicas:
            self.workers[f"pod-new-{next(self._numbers)}"] = None

    def _rank(self, name: str) -> tuple[bool, bool, int, str]:
        worker = self.workers[name]
        return worker is not None, worker is not None and worker.ready, int(self.costs.get(name, "0")), name

    def figures(self) -> Figures:
        at = BEGAN + timedelta(seconds=next(self._ticks))
        presences = [
            WorkerPresence(
                worker_id=worker.worker_id, name=name, slots=SLOTS, running=("t",) * worker.running, reserved=(),
                draining=worker.drained, loop_lag_ms=0, version="1", at=at,
            )
            for name, worker in self.workers.items()
            if worker is not None and worker.speaks
        ]  # fmt: skip
        demand = Demand(
            backlog=self.backlog,
            in_flight=sum(len(presence.running) for presence in presences),
            oldest_age_seconds=self.oldest_age_seconds,
            arrival_rate=0,
            mean_service_seconds=1,
            age_seconds=self.age_seconds,
        )
        return Figures(None if self.silent else demand, presences)


@dataclass(frozen=True)
class FakeFigures:
    """A double of `FigureReader`."""

    world: FleetWorld
    queue: str = "agent_tasks"

    async def read(self) -> Figures:
        return self.world.figures()


@dataclass(frozen=True)
class FakeKubernetes:
    """A double of `Cluster`, for one Deployment and its pods."""

    world: FleetWorld

    async def get(self, path: str) -> dict[str, Any]:
        if self.world.fate.strike():
            raise Killed
        metadata = {"name": "worker", "uid": "u", "generation": 1, "resourceVersion": str(self.world.version)}
        template: dict[str, Any] = {"spec": {"containers": [{"env": []}]}}
        spec = {
            "replicas": self.world.replicas, "selector": {"matchLabels": {"app": "worker"}}, "template": template
        }  # fmt: skip
        status = {"observedGeneration": 1, "replicas": len(self.world.workers)}
        return {"metadata": metadata, "spec": spec, "status": {**status, "updatedReplicas": len(self.world.workers)}}

    async def list(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        if self.world.fate.strike():
            raise Killed
        if path.endswith("/horizontalpodautoscalers") and self.world.other_scaler:
            target = {"kind": "Deployment", "name": "worker"}
            yield {"metadata": {"name": self.world.other_scaler}, "spec": {"scaleTargetRef": target}}
        if not path.endswith("/pods"):
            return
        for name, worker in list(self.world.workers.items()):
            annotations = {COST_ANNOTATION: self.world.costs[name]} if name in self.world.costs else {}
            status: dict[str, Any] = {}
            if worker is not None:
                ready = "True" if worker.ready else "False"
                status = {
                    "conditions": [{"type": "Ready", "status": ready}],
                    "containerStatuses": [{"restartCount": 0, "state": {"running": {}}}],
                }
            yield {"metadata": {"name": name, "annotations": annotations}, "status": status}

    async def patch(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        dies = self.world.fate.strike()
        if path.endswith("/scale"):
            if change["metadata"]["resourceVersion"] != str(self.world.version):
                raise HasChanged("Conflict", "scale")
            self.world.replicas = change["spec"]["replicas"]
            self.world.version += 1
            if not self.world.lags:
                self.world.controller()
        else:
            name = path.rpartition("/")[2]
            cost = change["metadata"]["annotations"][COST_ANNOTATION]
            if cost is None:
                self.world.costs.pop(name, None)
            elif name in self.world.workers:
                self.world.costs[name] = cost
        if dies:
            raise Killed
        return {}


@dataclass(frozen=True)
class FakeDrains:
    """A double of `RestClient`: a drained worker claims no task."""

    world: FleetWorld

    async def drain(self, worker_id: str, *, seconds: int) -> None:
        self._set(worker_id, drained=True)

    async def undrain(self, worker_id: str) -> None:
        self._set(worker_id, drained=False)

    def _set(self, worker_id: str, *, drained: bool) -> None:
        dies = self.world.fate.strike()
        found = [worker for worker in self.world.workers.values() if worker and worker.worker_id == worker_id]
        if not found:
            raise RestRefused("WORKER_NOT_FOUND", worker_id)
        found[0].drained = drained
        if dies:
            raise Killed
