"""The autoscaler at work: looks, lets `decide` decide, and follows the plan in steps that may be cut off anywhere.

Up: the replicas are patched. Down: workers are drained; when they have proved to be idle, their pods are marked as the
cheapest to delete, the replicas are patched, and it is watched that just these pods go. Whatever does not go as it
should is undone.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from agent_operator.autoscaler.decide import Demand, History, Plan, Reason, Workers, decide
from agent_operator.autoscaler.decision_log import Decisions
from agent_operator.autoscaler.drains import Drains
from agent_operator.autoscaler.figures import FigureReader, Figures
from agent_operator.autoscaler.fleet import Deployment, Fleet, HasScaled
from agent_operator.autoscaler.policy import Policy, WrongPolicy
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError, HasChanged, NotAllowed
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.rest_client import Orchestrator, OrchestratorAway
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AutoscalerMetrics

TICK_SECONDS = 0.8
SHORTEST_SECONDS = 0.2
OTHER_SCALERS_SECONDS = 30.0
REMOVAL_SECONDS = 15.0
# What is not known, or not ours to change: nobody is kept from working because of it.
HOLDING = (Reason.NO_DATA, Reason.STALE_DATA, Reason.OTHER_SCALER)

_log = get_logger(__name__)


@dataclass(frozen=True)
class Removal:
    """So many of the `wanted` pods Kubernetes was asked to take, of all that there were, until when they should go."""

    wanted: frozenset[str]
    count: int
    among: frozenset[str]
    until: float


class Autoscaler:
    """`policy` is what holds where the Deployment's annotations say nothing else."""

    def __init__(
        self,
        deployment: Deployment,
        figures: FigureReader,
        orchestrator: Orchestrator,
        events: EventRecorder,
        decisions: Decisions,
        *,
        policy: Policy,
        metrics: AutoscalerMetrics,
        pulse: Pulse,
    ) -> None:
        self._deployment = deployment
        self._figures = figures
        self._events = events
        self._policy = policy
        self._metrics = metrics
        self._pulse = pulse
        self._drains = Drains(orchestrator)
        self._decisions = decisions
        self._history = History()
        self._removal: Removal | None = None
        self._other_scaler: str | None = None
        self._asked_for_scalers_at = float("-inf")
        self._replicas = 0
        self._wrong_policy = ""
        self._kicked = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._pulse.beat("autoscaler")
            try:
                await self.tick()
            except (ClusterError, OrchestratorAway, HasScaled) as error:
                reason = getattr(error, "reason", None) or getattr(error, "code", None)
                _log.warning("autoscaler_held_up", error_class=type(error).__name__, reason=reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), TICK_SECONDS)
            self._kicked.clear()
            await asyncio.sleep(SHORTEST_SECONDS)

    async def hear(self, kicks: AsyncIterator[str]) -> None:
        """A task was accepted: where there are no workers, that is worth an early look. Until cancelled."""
        async for _ in kicks:
            if self._replicas == 0:
                self._kicked.set()

    async def tick(self) -> None:
        """Raises ClusterError, OrchestratorAway, HasScaled: what is begun is gone on with at the next one."""
        try:
            fleet = await self._deployment.look()
        except ClusterError:
            self._show_queue((await self._read_figures()).demand)
            raise
        # After the fleet: a pod that starts in between is then seen with what its worker says.
        figures = await self._read_figures()
        self._show_queue(figures.demand)
        await self._look_for_other_scalers()
        await self._watch_removal(fleet)
        workers = Workers(
            replicas=fleet.replicas,
            slots_per_pod=max((presence.slots for presence in figures.presences), default=fleet.slots_per_pod),
            draining=self._draining(fleet),
            rolling_out=fleet.rolling_out,
            other_scaler=self._other_scaler,
        )
        now = time.monotonic()
        plan, self._history = decide(figures.demand, workers, self._policy_of(fleet), self._history, now=now)
        self._show(fleet, workers, plan)
        try:
            await self._follow(plan, fleet, figures)
        finally:
            self._decisions.note(plan, workers, figures.demand)

    async def _read_figures(self) -> Figures:
        try:
            return await self._figures.read()
        except BrokerUnavailable as error:
            _log.warning("figures_not_read", code=error.code)
            return Figures(None, ())

    def _policy_of(self, fleet: Fleet) -> Policy:
        try:
            return self._policy.overridden(fleet.annotations)
        except WrongPolicy as error:
            if str(error) != self._wrong_policy:
                self._wrong_policy = str(error)
                about = self._deployment.reference(fleet)
                _log.error("wrong_policy", problems=self._wrong_policy)
                self._events.tell(about, reason="WrongPolicy", message=self._wrong_policy, warning=True)
            return self._policy

    def _draining(self, fleet: Fleet) -> int:
        """Without those that Kubernetes was asked to take: they are not among the replicas any more."""
        going = self._leaving()
        return min(sum(pod.name in self._drains and pod.name not in going for pod in fleet.pods), fleet.replicas)

    def _leaving(self) -> frozenset[str]:
        return frozenset() if self._removal is None else self._removal.wanted

    async def _look_for_other_scalers(self) -> None:
        if time.monotonic() - self._asked_for_scalers_at >= OTHER_SCALERS_SECONDS:
            self._other_scaler = await self._deployment.other_scaler()
            self._asked_for_scalers_at = time.monotonic()

    async def _follow(self, plan: Plan, fleet: Fleet, figures: Figures) -> None:
        if plan.reason in HOLDING:
            await self._drains.call_back(len(self._drains), but=self._leaving())
            return
        presences: dict[str, WorkerPresence] = {}
        for presence in sorted(figures.presences, key=lambda presence: presence.at):
            presences[presence.name] = presence
        staying = fleet.replicas - self._draining(fleet)
        await self._drains.settle(fleet.pods, presences)
        await self._forget_marks(fleet)
        if plan.staying > fleet.replicas:
            await self._drains.call_back(len(self._drains), but=self._leaving())
            await self._scale(fleet, plan.staying, plan)
        elif plan.staying > staying:
            await self._drains.call_back(plan.staying - staying, but=self._leaving())
        elif plan.staying < staying and self._removal is None:
            await self._drain(fleet, presences, staying - plan.staying)
        if self._removal is None and plan.staying < fleet.replicas:
            await self._remove(plan, fleet, self._drains.proven(presences)[: fleet.replicas - plan.staying])

    async def _drain(self, fleet: Fleet, presences: Mapping[str, WorkerPresence], count: int) -> None:
        begun = await self._drains.begin(fleet.pods, presences, count)
        silent = sorted(pod.name for pod in fleet.pods if pod.started and pod.name not in presences)
        if begun < count and silent:
            _log.warning("workers_without_presence", pods=silent)

    async def _remove(self, plan: Plan, fleet: Fleet, idle: list[str]) -> None:
        """Takes workers out that need not stay, where it is known which ones Kubernetes will choose.

        Pods that have not started go before all others: as long as there are any, they go, whichever.
        """
        if not idle or fleet.rolling_out or len(fleet.pods) != fleet.replicas:
            return
        unstarted = frozenset(pod.name for pod in fleet.pods if not pod.started)
        wanted = unstarted or frozenset(idle)
        stumbling = [pod.name for pod in fleet.pods if pod.started and not pod.ready and pod.name not in wanted]
        if stumbling:
            return  # they would go in place of the others, and nobody knows what they run
        for pod in sorted(wanted - unstarted):
            await self._deployment.mark(pod, cheap=True)
        if not self._drains.hold(wanted):
            return
        count = min(len(idle), len(wanted))
        among = frozenset(pod.name for pod in fleet.pods)
        self._removal = Removal(wanted, count, among, time.monotonic() + REMOVAL_SECONDS)
        try:
            await self._scale(fleet, fleet.replicas - count, plan)
        except (HasScaled, HasChanged, NotAllowed):
            self._removal = None  # certainly not done; where that is not certain, it is watched whether it was
            raise

    async def _scale(self, fleet: Fleet, replicas: int, plan: Plan) -> None:
        await self._deployment.scale(before=fleet.replicas, after=replicas)
        _log.info("workers_scaled", before=fleet.replicas, after=replicas, reason=plan.reason.value)
        self._metrics.autoscaler_changes.labels(direction="up" if replicas > fleet.replicas else "down").inc()
        self._events.tell(
            self._deployment.reference(fleet),
            reason="ScaledUp" if replicas > fleet.replicas else "ScaledDown",
            message=f"From {fleet.replicas} to {replicas} workers. {plan.explanation}",
        )

    async def _watch_removal(self, fleet: Fleet) -> None:
        """Did those go that should? Raises OrchestratorAway."""
        removal = self._removal
        if removal is None:
            return
        left = {pod.name for pod in fleet.pods}
        gone = removal.among - left
        if len(gone) < removal.count and time.monotonic() < removal.until:
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

    async def _forget_marks(self, fleet: Fleet) -> None:
        """A pod that nobody drains, because it was called back or an operator died, is no cheaper than the others."""
        for pod in fleet.pods:
            if pod.cheap and pod.name not in self._drains and pod.name not in self._leaving():
                await self._deployment.mark(pod.name, cheap=False)

    def _show_queue(self, demand: Demand | None) -> None:
        """Not a number while nobody tells: an old figure would pass for a new one."""
        queue = self._figures.queue
        depth, age = (demand.backlog, demand.oldest_age_seconds) if demand else (math.nan, math.nan)
        self._metrics.queue_depth.labels(queue=queue).set(depth)
        self._metrics.queue_oldest_seconds.labels(queue=queue).set(age)

    def _show(self, fleet: Fleet, workers: Workers, plan: Plan) -> None:
        self._replicas = fleet.replicas
        for state, count in (
            ("asked", fleet.replicas),
            ("draining", workers.draining),
            ("staying", plan.staying),
            ("desired", plan.staying if plan.desired is None else plan.desired),
        ):
            self._metrics.autoscaler_workers.labels(state=state).set(count)
        self._metrics.autoscaler_decisions.labels(reason=plan.reason.value).inc()
