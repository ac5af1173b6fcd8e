"""The loop of the autoscaler: reads fleet and figures, has `decide` make a plan, and follows it in small steps. The
operator may die after any of them.

Up: it patches the replicas. Down: it drains workers. When they have proved that they are idle, it marks their pods as
the cheapest to delete, patches the replicas, and checks that Kubernetes removes exactly these pods. If Kubernetes does
not, the drains end and the marks are removed. Pods are removed only by what was just read: the memory of the fleet may
miss a worker that has started since, and has tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from agent_operator.autoscaler.decide import Demand, History, Plan, Reason, WorkerCount, decide
from agent_operator.autoscaler.decision_log import DecisionLog
from agent_operator.autoscaler.drains import Drains
from agent_operator.autoscaler.figures import FigureReader, Figures
from agent_operator.autoscaler.fleet import Deployment, Fleet, HasScaled
from agent_operator.autoscaler.fleet_watch import FleetWatch
from agent_operator.autoscaler.policy import Policy, WrongPolicy
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError, HasChanged, NotAllowed
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.rest_client import RestClient, RestUnavailable
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AutoscalerMetrics

# Together about one tick a second. The second pause follows a kick, too, so a burst of tasks makes at most five ticks a
# second.
TICK_SECONDS = 0.8
SHORTEST_SECONDS = 0.2
OTHER_SCALERS_SECONDS = 30.0
REMOVAL_SECONDS = 15.0
# The figures are missing, or the Deployment is not ours to scale: no worker is kept from claiming tasks meanwhile.
HOLDING = (Reason.NO_DATA, Reason.STALE_DATA, Reason.OTHER_SCALER)

_log = get_logger(__name__)


@dataclass(frozen=True)
class Removal:
    """A scale-down in progress: Kubernetes shall remove `count` of the `wanted` pods.

    `among`: all pods at that time. After `until` (monotonic) it counts as failed.
    """

    wanted: frozenset[str]
    count: int
    among: frozenset[str]
    until: float


class Autoscaler:
    """The autoscaler of one Deployment. Its annotations override `policy`."""

    def __init__(
        self,
        deployment: Deployment,
        figures: FigureReader,
        rest: RestClient,
        events: EventRecorder,
        decisions: DecisionLog,
        *,
        policy: Policy,
        clock: Clock,
        metrics: AutoscalerMetrics,
        pulse: Pulse,
    ) -> None:
        self._deployment = deployment
        self.fleet_watch = FleetWatch(deployment)
        self._figures = figures
        self._events = events
        self._policy = policy
        self._clock = clock
        self._metrics = metrics
        self._pulse = pulse
        self._drains = Drains(rest, clock)
        self._decisions = decisions
        self._history = History()
        self._removal: Removal | None = None
        self._removal_is_due = False
        self._other_scaler: str | None = None
        self._scalers_read_at = float("-inf")
        self._replicas = 0
        self._wrong_policy = ""
        self._kicked = asyncio.Event()

    async def run(self) -> None:
        """Ticks until it is cancelled."""
        while True:
            self._pulse.beat("autoscaler")
            try:
                await self.tick()
            except (ClusterError, RestUnavailable, HasScaled) as error:
                self.fleet_watch.forget()
                reason = getattr(error, "reason", None) or getattr(error, "code", None)
                _log.warning("autoscaler_held_up", error_class=type(error).__name__, reason=reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), TICK_SECONDS)
            self._kicked.clear()
            await asyncio.sleep(SHORTEST_SECONDS)

    async def listen(self, kicks: AsyncIterator[str]) -> None:
        """Ticks early on a kick if there are no workers, until it is cancelled. A kick means an accepted task."""
        async for _ in kicks:
            if self._replicas == 0:
                self._kicked.set()

    async def tick(self) -> None:
        """Takes one step. Raises ClusterError, RestUnavailable, HasScaled: the next tick goes on with the work."""
        try:
            fleet = await self.fleet_watch.read(fresh=self._removal_is_due or self._removal is not None)
        except ClusterError:  # the gauges of the queue do not need Kubernetes
            self._set_queue_gauges((await self._read_figures()).demand)
            raise
        self._removal_is_due = False
        # After the fleet: a worker that starts in between then has a presence, and its pod does not count as silent.
        figures = await self._read_figures()
        self._set_queue_gauges(figures.demand)
        await self._read_other_scaler()
        await self._check_removal(fleet)
        workers = WorkerCount(
            replicas=fleet.replicas,
            slots_per_pod=max((presence.slots for presence in figures.presences), default=fleet.slots_per_pod),
            draining=self._draining(fleet),
            rolling_out=fleet.rolling_out,
            other_scaler=self._other_scaler,
        )
        now = self._clock.monotonic()
        plan, self._history = decide(figures.demand, workers, self._policy_of(fleet), self._history, now=now)
        self._set_worker_gauges(fleet, workers, plan)
        try:
            await self._follow(plan, fleet, figures)
        finally:
            self._decisions.record(plan, workers, figures.demand)

    async def _read_figures(self) -> Figures:
        try:
            return await self._figures.read()
        except BrokerUnavailable as error:
            _log.warning("figures_not_read", error_code=error.code)
            return Figures(None, ())

    def _policy_of(self, fleet: Fleet) -> Policy:
        try:
            return self._policy.overridden(fleet.annotations)
        except WrongPolicy as error:
            if str(error) != self._wrong_policy:  # once for each text: the loop ticks every second
                self._wrong_policy = str(error)
                about = self._deployment.reference(fleet)
                _log.error("wrong_policy", problems=self._wrong_policy)
                self._events.emit(about, reason="WrongPolicy", message=self._wrong_policy, warning=True)
            return self._policy

    def _draining(self, fleet: Fleet) -> int:
        """Counts the drained pods without those being removed, which are not among the replicas any more."""
        going = self._going()
        return min(sum(pod.name in self._drains and pod.name not in going for pod in fleet.pods), fleet.replicas)

    def _going(self) -> frozenset[str]:
        return frozenset() if self._removal is None else self._removal.wanted

    async def _read_other_scaler(self) -> None:
        if self._clock.monotonic() - self._scalers_read_at >= OTHER_SCALERS_SECONDS:
            self._other_scaler = await self._deployment.other_scaler()
            self._scalers_read_at = self._clock.monotonic()

    async def _follow(self, plan: Plan, fleet: Fleet, figures: Figures) -> None:
        if plan.reason in HOLDING:
            await self._drains.call_back(len(self._drains), excluding=self._going())
            return
        # A restarted worker has the name of its predecessor, whose presence may not have ended yet: the newest counts.
        presences: dict[str, WorkerPresence] = {}
        for presence in sorted(figures.presences, key=lambda presence: presence.at):
            presences[presence.name] = presence
        staying = fleet.replicas - self._draining(fleet)
        await self._drains.refresh(fleet.pods, presences)
        await self._remove_stale_marks(fleet)
        if plan.staying > fleet.replicas:
            await self._drains.call_back(len(self._drains), excluding=self._going())
            await self._scale(fleet, plan.staying, plan)
        elif plan.staying > staying:
            await self._drains.call_back(plan.staying - staying, excluding=self._going())
        elif plan.staying < staying and self._removal is None:
            await self._drain(fleet, presences, staying - plan.staying)
        if self._removal is None and plan.staying < fleet.replicas:
            idle = self._drains.proven_idle(presences)[: fleet.replicas - plan.staying]
            self._removal_is_due = bool(idle) and not fleet.fresh
            if not self._removal_is_due:
                await self._remove(plan, fleet, idle)

    async def _drain(self, fleet: Fleet, presences: Mapping[str, WorkerPresence], count: int) -> None:
        begun = await self._drains.begin(fleet.pods, presences, count)
        silent = sorted(pod.name for pod in fleet.pods if pod.started and pod.name not in presences)
        if begun < count and silent:
            _log.warning("workers_without_presence", pods=silent)

    async def _remove(self, plan: Plan, fleet: Fleet, idle: list[str]) -> None:
        """Removes workers that need not stay, if it is known which pods Kubernetes will choose.

        Kubernetes removes pods that have not started before all others, so as long as there are any, only they go.
        """
        # While pods come or go, the ReplicaSet controller's choice is not certain.
        if not idle or fleet.rolling_out or len(fleet.pods) != fleet.replicas:
            return
        unstarted = frozenset(pod.name for pod in fleet.pods if not pod.started)
        wanted = unstarted or frozenset(idle)
        stumbling = [pod.name for pod in fleet.pods if pod.started and not pod.ready and pod.name not in wanted]
        if stumbling:
            return  # Kubernetes would remove them in place of the others, and it is not known what they run
        for pod in sorted(wanted - unstarted):
            await self._mark(pod, cheap=True)
        if not self._drains.are_fresh(wanted):
            return
        count = min(len(idle), len(wanted))
        among = frozenset(pod.name for pod in fleet.pods)
        self._removal = Removal(wanted, count, among, self._clock.monotonic() + REMOVAL_SECONDS)
        try:
            await self._scale(fleet, fleet.replicas - count, plan)
        except (HasScaled, HasChanged, NotAllowed):
            # Kubernetes rejected the patch, so nothing is removed. After any other error it may have been applied: keep
            # watching.
            self._removal = None
            raise

    async def _scale(self, fleet: Fleet, replicas: int, plan: Plan) -> None:
        self.fleet_watch.forget()
        await self._deployment.scale(before=fleet.replicas, after=replicas)
        _log.info("workers_scaled", before=fleet.replicas, after=replicas, reason=plan.reason.value)
        self._metrics.autoscaler_changes.labels(direction="up" if replicas > fleet.replicas else "down").inc()
        self._events.emit(
            self._deployment.reference(fleet),
            reason="ScaledUp" if replicas > fleet.replicas else "ScaledDown",
            message=f"From {fleet.replicas} to {replicas} workers. {plan.explanation}",
        )

    async def _check_removal(self, fleet: Fleet) -> None:
        """Checks whether Kubernetes has removed the wanted pods, and ends the drains of those that stay.

        Raises RestUnavailable.
        """
        removal = self._removal
        if removal is None:
            return
        left = {pod.name for pod in fleet.pods}
        gone = removal.among - left
        if len(gone) < removal.count and self._clock.monotonic() < removal.until:
            return
        self._removal = None
        wrong = gone - removal.wanted
        if wrong:
            self._metrics.autoscaler_wrong_victims.inc(len(wrong))
            _log.error("wrong_workers_removed", wanted=sorted(removal.wanted), went=sorted(wrong))
        if len(gone) < removal.count:
            _log.warning("workers_not_removed", pods=sorted(removal.wanted & left))
        for pod in sorted(removal.wanted & left):
            await self._drains.end(pod)

    async def _remove_stale_marks(self, fleet: Fleet) -> None:
        """Removes the mark of pods that are not drained any more, or were marked by an operator that died."""
        for pod in fleet.pods:
            if pod.cheap and pod.name not in self._drains and pod.name not in self._going():
                await self._mark(pod.name, cheap=False)

    async def _mark(self, pod: str, *, cheap: bool) -> None:
        self.fleet_watch.forget()
        await self._deployment.mark(pod, cheap=cheap)

    def _set_queue_gauges(self, demand: Demand | None) -> None:
        """Sets the gauges of the queue, to NaN without fresh figures: an old figure would pass for a new one."""
        queue = self._figures.queue
        depth, age = (demand.backlog, demand.oldest_age_seconds) if demand else (math.nan, math.nan)
        self._metrics.queue_depth.labels(queue=queue).set(depth)
        self._metrics.queue_oldest_seconds.labels(queue=queue).set(age)

    def _set_worker_gauges(self, fleet: Fleet, workers: WorkerCount, plan: Plan) -> None:
        """Sets the gauges of the workers, and counts the decision."""
        self._replicas = fleet.replicas
        for state, count in (
            ("asked", fleet.replicas),
            ("draining", workers.draining),
            ("staying", plan.staying),
            ("desired", plan.staying if plan.desired is None else plan.desired),
        ):
            self._metrics.autoscaler_workers.labels(state=state).set(count)
        self._metrics.autoscaler_decisions.labels(reason=plan.reason.value).inc()
