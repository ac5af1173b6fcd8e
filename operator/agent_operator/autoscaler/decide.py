"""The decision about the number of workers. Pure functions: they get all they need as arguments, and return what they
must remember until the next decision.

The number grows at once, as far as a period allows. It shrinks only after a whole window in which fewer workers would
have sufficed, in small steps, and never below what is in flight. If figures are missing or stale, or the number is not
ours to change, it stays as it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agent_operator.autoscaler.policy import Policy


class Reason(StrEnum):
    """The reason for which the number of workers changes, or does not."""

    ENOUGH = "enough"
    BACKLOG = "backlog"
    ARRIVALS = "arrivals"
    IN_FLIGHT = "in_flight"
    OLD_TASKS = "old_tasks"
    BOUNDS = "bounds"
    DEMAND_RETURNED = "demand_returned"
    FEWER_SUFFICE = "fewer_suffice"
    WAITING_FOR_WINDOW = "waiting_for_window"
    UP_LIMIT = "up_limit"
    MODELS_IN_TROUBLE = "models_in_trouble"
    NO_DATA = "no_data"
    STALE_DATA = "stale_data"
    ROLLOUT = "rollout"
    OTHER_SCALER = "other_scaler"


@dataclass(frozen=True)
class Demand:
    """The demand for workers: figures of the queue and the models. `age_seconds` is the age of the figures.

    `backlog` counts the waiting tasks that may run. Limits of tenants and the quarantine hold `held_back` others back.
    """

    backlog: int
    in_flight: int
    oldest_age_seconds: float
    arrival_rate: float
    mean_service_seconds: float
    rate_limited_share: float = 0.0
    open_breakers: Sequence[str] = ()
    age_seconds: float = 0.0
    held_back: int = 0


@dataclass(frozen=True)
class WorkerCount:
    """The number of workers: the Deployment's `replicas`, of which `draining` leave. Starting pods count.

    `other_scaler` names the other program that scales the Deployment, if there is one.
    """

    replicas: int
    slots_per_pod: int
    draining: int = 0
    rolling_out: bool = False
    other_scaler: str | None = None

    @property
    def staying(self) -> int:
        return self.replicas - self.draining


@dataclass(frozen=True)
class Recommendation:
    """The number of workers that the formula gave at a time."""

    at: float
    desired: int


@dataclass(frozen=True)
class History:
    """The memory between decisions. The current period of growth began at `period_began` with `period_replicas`."""

    recommendations: tuple[Recommendation, ...] = ()
    watched_since: float | None = None
    period_began: float = float("-inf")
    period_replicas: int = 0


@dataclass(frozen=True)
class Plan:
    """The plan: `staying` workers stay. `desired` is the result of the formula, None if it was not evaluated.

    `explanation` is a sentence with the figures, for people.
    """

    staying: int
    reason: Reason
    explanation: str
    desired: int | None = None


def decide(
    demand: Demand | None, workers: WorkerCount, policy: Policy, history: History, *, now: float
) -> tuple[Plan, History]:
    """Returns the plan for this moment (`now`: monotonic seconds), and the history for the next decision."""
    held = _hold(demand, workers, policy)
    if held is not None or demand is None:
        # The window begins again: nobody knows how many workers were wanted while there were no figures.
        return held or _keep(workers, Reason.NO_DATA, "no figures"), replace(
            history, recommendations=(), watched_since=None
        )
    desired, reason, why = _desired(demand, workers, policy)
    history = _remember(history, policy, desired=desired, now=now)
    if desired > workers.staying:
        return _up(demand, workers, policy, history, desired=desired, reason=reason, why=why, now=now)
    if desired < workers.staying:
        return _down(demand, workers, policy, history, desired=desired, why=why, now=now), history
    return Plan(workers.staying, Reason.ENOUGH, f"{workers.staying} workers are enough: {why}", desired), history


def _keep(workers: WorkerCount, reason: Reason, why: str) -> Plan:
    return Plan(workers.staying, reason, f"{workers.staying} workers stay: {why}")


def _hold(demand: Demand | None, workers: WorkerCount, policy: Policy) -> Plan | None:
    if workers.other_scaler is not None:
        return _keep(
            workers,
            Reason.OTHER_SCALER,
            f"{workers.other_scaler} scales this Deployment, and two would fight; remove it, or switch this one off",
        )
    if demand is None:
        return _keep(workers, Reason.NO_DATA, "there are no figures: Redis is unavailable, or no API process leads")
    if demand.age_seconds > policy.stale_seconds:
        return _keep(
            workers,
            Reason.STALE_DATA,
            f"the figures are {demand.age_seconds:.0f} s old, more than {policy.stale_seconds:g} s",
        )
    return None


def _desired(demand: Demand, workers: WorkerCount, policy: Policy) -> tuple[int, Reason, str]:
    """Returns the number of workers that would suffice, the reason for it, and its figures in words."""
    service = max(demand.mean_service_seconds, 0.001)
    # A slot works off this many tasks, one after the other, within the time that the policy allows for the backlog.
    rounds = max(1, math.ceil(policy.drain_target_seconds / service))
    for_backlog = demand.in_flight + demand.backlog / rounds
    # The rate counts tasks of tenants at their limits, too. A worker for these would be idle.
    may_run = demand.backlog / (demand.backlog + demand.held_back) if demand.held_back else 1.0
    for_arrivals = demand.arrival_rate * service * policy.arrival_headroom * may_run
    slots = max(for_backlog, for_arrivals)
    # Rounded first: 8.000000001 workers, from binary fractions, are 8 and not 9.
    wanted = math.ceil(round(slots / (workers.slots_per_pod * policy.utilisation), 6))
    reason = Reason.ARRIVALS if for_arrivals > for_backlog else Reason.BACKLOG if demand.backlog else Reason.IN_FLIGHT
    why = (
        f"{demand.backlog} wait and {demand.in_flight} are in flight, {demand.arrival_rate:.2f} a second come and take "
        f"{service:.1f} s each, so {slots:.1f} slots of {workers.slots_per_pod} a worker at {policy.utilisation:.0%}"
    )
    if demand.held_back:
        why += f"; limits hold {demand.held_back} more back"
    if demand.backlog and demand.oldest_age_seconds > policy.oldest_age_seconds and wanted <= workers.staying:
        wanted, reason = workers.staying + 1, Reason.OLD_TASKS
        why += f"; the oldest waits {demand.oldest_age_seconds:.0f} s, more than {policy.oldest_age_seconds:g} s"
    desired = min(max(wanted, policy.min_replicas), policy.max_replicas)
    if desired != wanted:
        reason = Reason.BOUNDS
        why += f"; {policy.min_replicas} to {policy.max_replicas} workers are allowed"
    return desired, reason, why


def _remember(history: History, policy: Policy, *, desired: int, now: float) -> History:
    # They are in the order of time.
    kept = tuple(itertools.dropwhile(lambda past: now - past.at > policy.down_window_seconds, history.recommendations))
    since = now if history.watched_since is None else history.watched_since
    return replace(history, recommendations=(*kept, Recommendation(now, desired)), watched_since=since)


def _up(
    demand: Demand,
    workers: WorkerCount,
    policy: Policy,
    history: History,
    *,
    desired: int,
    reason: Reason,
    why: str,
    now: float,
) -> tuple[Plan, History]:
    # Drained workers are ready at once; a new pod has to start.
    if workers.draining:
        staying = min(desired, workers.replicas)
        why = f"{staying - workers.staying} of {workers.draining} drained workers are called back: {why}"
        return Plan(staying, Reason.DEMAND_RETURNED, why, desired), history
    # Not without any worker: then no model call would show that the models are back.
    trouble = _trouble(demand, policy)
    if trouble is not None and workers.replicas > 0 and workers.replicas >= policy.min_replicas:
        text = f"{workers.replicas} workers stay although {desired} are wanted: {trouble}; more would only wait for it"
        return Plan(workers.replicas, Reason.MODELS_IN_TROUBLE, text, desired), history
    if now - history.period_began >= policy.up_period_seconds:
        history = replace(history, period_began=now, period_replicas=workers.replicas)
    before = min(history.period_replicas, workers.replicas)
    most = before + max(policy.up_pods, math.floor(before * policy.up_share))
    staying = max(workers.replicas, min(desired, most))
    if staying == workers.replicas:
        text = f"{desired} are wanted, and no more than {most} in these {policy.up_period_seconds:g} s: {why}"
        return Plan(staying, Reason.UP_LIMIT, text, desired), history
    return Plan(staying, reason, f"{staying} workers instead of {workers.replicas}: {why}", desired), history


def _trouble(demand: Demand, policy: Policy) -> str | None:
    if demand.open_breakers:
        return f"the circuit breaker of {', '.join(demand.open_breakers)} is not closed"
    if demand.rate_limited_share > policy.rate_limited_share:
        return f"{demand.rate_limited_share:.0%} of the model calls are refused by rate limits"
    return None


def _down(
    demand: Demand, workers: WorkerCount, policy: Policy, history: History, *, desired: int, why: str, now: float
) -> Plan:
    if workers.rolling_out:
        return _keep(workers, Reason.ROLLOUT, "a rollout is under way, and Kubernetes would choose the pods to remove")
    watched = 0.0 if history.watched_since is None else now - history.watched_since
    most_wanted = max(past.desired for past in history.recommendations)
    # An upper bound that somebody has lowered holds at once; the window is for changes of the demand.
    if workers.staying > policy.max_replicas:
        most_wanted = policy.max_replicas
    elif watched < policy.down_window_seconds or most_wanted >= workers.staying:
        text = (
            f"{workers.staying} workers stay: {desired} would do now, up to {most_wanted} were wanted in the last "
            f"{min(watched, policy.down_window_seconds):.0f} of {policy.down_window_seconds:g} s"
        )
        return Plan(workers.staying, Reason.WAITING_FOR_WINDOW, text, desired)
    step = max(policy.down_pods, math.floor(workers.replicas * policy.down_share))
    busy = math.ceil(demand.in_flight / workers.slots_per_pod)
    staying = max(most_wanted, workers.replicas - step, min(busy, workers.staying))
    if staying >= workers.staying:
        text = f"{workers.staying} workers stay: {demand.in_flight} tasks are in flight, or others go already"
        return Plan(workers.staying, Reason.IN_FLIGHT, text, desired)
    return Plan(staying, Reason.FEWER_SUFFICE, f"{staying} workers instead of {workers.staying}: {why}", desired)
