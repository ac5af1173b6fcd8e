"""The program of the chart's hook before an uninstall: `python -m agent_operator.uninstall NAMESPACE/DEPLOYMENT`.

It stops the operator's Deployment and then removes the operator's finalizer from every AgentTask. Afterwards nobody
could: objects that were under way, and the deletion of their namespaces, would wait for ever. It cancels no task: the
objects stay, and if the release is installed again, their tasks go on. Those in a namespace that another
release holds keep the finalizer, which that release removes.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import uvloop

from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import FINALIZER, Entry
from agent_operator.agenttasks.watch import watch_settings
from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import Cluster, ClusterError, NotAllowed, NotThere
from agent_operator.kube.leases import Leases
from app.errors import ConfigurationError
from app.ports import Clock
from app.settings import OperatorSettings, load_settings
from app.system_clock import SystemClock
from app.telemetry.logs import configure_logging, get_logger

# The operator's pod ends within 15 s. One on a node that is gone never does, and adds no finalizer either.
STOP_SECONDS = 30.0
POLL_SECONDS = 1.0

_log = get_logger(__name__)


@dataclass(frozen=True)
class Uninstall:
    """The end of one operator, whose Deployment is `namespace`/`deployment`, and of its hold on AgentTasks."""

    objects: AgentTasks
    namespace: str
    deployment: str
    leases: Leases
    clock: Clock
    _foreign: dict[str, bool] = field(default_factory=dict)

    async def run(self) -> int:
        """Stops the operator and releases its objects; returns how many had a finalizer. Raises ClusterError."""
        # The order counts: a running operator adds the finalizer again before its next try of a submission.
        await self._stop_operator()
        return await self._release_all()

    async def _stop_operator(self) -> None:
        cluster = self.objects.cluster
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.deployment}/scale"
        try:
            selector = (await cluster.get(path))["status"]["selector"]
            await cluster.patch(path, {"spec": {"replicas": 0}})
        except NotThere:
            return
        give_up_at = self.clock.monotonic() + STOP_SECONDS
        while await self._runs(selector):
            if self.clock.monotonic() > give_up_at:
                _log.warning("operator_still_there", seconds=STOP_SECONDS)
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _runs(self, selector: str) -> bool:
        pods = self.objects.cluster.list(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=selector)
        return bool([pod async for pod in pods])

    async def _release_all(self) -> int:
        released = 0
        async for body in self.objects.read_all(unreadable=set()):
            metadata = body["metadata"]
            if FINALIZER not in (metadata.get("finalizers") or ()) or await self._is_foreign(metadata["namespace"]):
                continue
            uid, namespace, name = metadata["uid"], metadata["namespace"], metadata["name"]
            entry = Entry(uid=uid, key=uid, namespace=namespace, name=name, status={})
            entry.record_metadata(metadata)
            try:
                await self.objects.release(entry, finished=False)
            except NotThere:  # deleted since it was listed
                continue
            released += 1
        return released

    async def _is_foreign(self, namespace: str) -> bool:
        """Checks, once for each namespace, whether another release holds it."""
        if namespace not in self._foreign:
            try:
                lease = await self.leases.read(namespace)
            except NotAllowed:  # the Role is of an earlier version
                lease = None
            self._foreign[namespace] = lease is not None and lease.holder not in ("", self.leases.identity)
        return self._foreign[namespace]


async def uninstall(settings: OperatorSettings, deployment: str) -> None:
    """Runs the program for `deployment`, a namespace/name. Raises ConfigurationError, ClusterError."""
    namespace, _, name = deployment.partition("/")
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        access = ClusterAccess(watch_settings(), clock)
        stack.push_async_callback(access.close)
        objects = AgentTasks(Cluster(access), settings.namespaces)
        leases = Leases(objects.cluster, settings.identity)
        released = await Uninstall(objects, namespace, name, leases, clock).run()
    _log.info("agent_tasks_released", count=released)


def main() -> int:
    """Runs the program; returns its exit code: 2 for wrong settings, 1 if the Kubernetes API did not do it."""
    try:
        settings = load_settings()
        configure_logging(settings.process, process="operator")
        uvloop.run(uninstall(settings.operator, sys.argv[1]))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ClusterError as error:
        sys.stderr.write(f"The AgentTasks are not all released: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
