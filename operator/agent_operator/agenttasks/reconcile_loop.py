"""The reconcile loop: takes objects from the work queue and reconciles them, and queues failed ones again for later."""

from __future__ import annotations

import asyncio
import random

from agent_operator.agenttasks.reconcile import Reconciler
from agent_operator.agenttasks.register import Entry, Register
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError, ClusterUnavailable, NotThere
from agent_operator.rest.rest_client import RestRefused, RestUnavailable
from app.telemetry.logs import get_logger, origin
from app.telemetry.metrics import AgentTaskMetrics

AT_ONCE = 32
# After an outage the API server is tried again within this time.
LONGEST_PAUSE_SECONDS = 15.0
FAULT_PAUSE_SECONDS = 15.0
TICK_SECONDS = 5.0

_log = get_logger(__name__)


class ReconcileLoop:
    """The workers that reconcile objects, `AT_ONCE` of them."""

    def __init__(
        self, reconciler: Reconciler, register: Register, work: WorkQueue, *, metrics: AgentTaskMetrics, pulse: Pulse
    ) -> None:
        self._reconciler = reconciler
        self._register = register
        self._work = work
        self._metrics = metrics
        self._pulse = pulse
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def run(self) -> None:
        """Reconciles objects as they become due, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._set_gauges())
            for _ in range(AT_ONCE):
                group.create_task(self._work_one_by_one())

    async def close(self, *, grace_seconds: float) -> None:
        """Starts no further work, and waits up to `grace_seconds` for the objects that are being reconciled."""
        self._closed = True
        self._work.close()
        try:
            await asyncio.wait_for(self._idle.wait(), grace_seconds)
        except TimeoutError:
            _log.warning("reconciles_cut_off", busy=self._busy)

    async def _set_gauges(self) -> None:
        while True:
            self._pulse.beat("reconcile_loop")
            self._metrics.operator_active.set(len(self._register))
            self._metrics.operator_due.set(len(self._work))
            await asyncio.sleep(TICK_SECONDS)

    async def _work_one_by_one(self) -> None:
        while not self._closed:
            uid = await self._work.take()
            entry = self._register.get(uid)
            self._busy += 1
            self._idle.clear()
            try:
                if entry is not None and not self._closed:
                    await self._reconcile(entry)
            finally:
                self._work.done(uid)
                self._busy -= 1
                if not self._busy:
                    self._idle.set()

    async def _reconcile(self, entry: Entry) -> None:
        try:
            await self._reconciler.reconcile(entry)
        except RestUnavailable as unavailable:
            self._retry_later(entry, unavailable.retry_seconds)
        except ClusterUnavailable as unavailable:
            self._metrics.operator_cluster_errors.labels(reason=unavailable.reason).inc()
            self._retry_later(entry, min(LONGEST_PAUSE_SECONDS, 2.0 ** min(entry.failures, 5)))
        except NotThere:  # deleted since it was queued; its task was cancelled, or the survey cancels it
            self._register.forget(entry)
        except (ClusterError, RestRefused) as refusal:
            # Not reconciled to a final state: rights, a CRD or a version can be corrected while the object waits.
            self._metrics.operator_cluster_errors.labels(reason=type(refusal).__name__).inc()
            reason = refusal.reason if isinstance(refusal, ClusterError) else refusal.code
            _log.error("reconcile_refused", error_class=type(refusal).__name__, reason=reason, uid=entry.uid)
            self._retry_later(entry, LONGEST_PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001  # one object's fault must not end the work on the others
            _log.error("reconcile_failed", error_class=type(error).__name__, where=origin(error), uid=entry.uid)
            self._retry_later(entry, FAULT_PAUSE_SECONDS)
        else:
            entry.failures = 0
            # A status write has just found the object gone, and nothing else would queue it again.
            if entry.gone and self._register.get(entry.uid) is entry:
                self._work.add(entry.uid)

    def _retry_later(self, entry: Entry, seconds: float) -> None:
        """Queues the object again in `seconds` or a little later: thousands must not come at the same moment."""
        entry.failures += 1
        self._work.add_later(entry.uid, seconds * random.uniform(1.0, 1.2))
