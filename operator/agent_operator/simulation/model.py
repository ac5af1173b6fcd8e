"""A model of pods that work off a queue, second by second. The real `decide` scales them.

As in the cluster, a pod that shall be removed is drained first and removed when it is idle. `drains=False` shows the
difference: the pod is removed at once, and its tasks are interrupted and begin again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_operator.autoscaler.decide import Demand, History, Plan, WorkerCount, decide
from agent_operator.autoscaler.policy import Policy
from agent_operator.simulation.traces import Trace

RATE_WINDOW_SECONDS = 30
# A task takes between 0.5 and 1.5 times the mean.
SPREAD = 0.5
BREAKER = ("simulated",)


@dataclass
class _Task:
    arrived_at: int
    work_seconds: float
    began_at: int | None = None


@dataclass
class _Pod:
    ready_at: float
    draining: bool = False
    running: list[_Task] = field(default_factory=list)
    done: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Waits are seconds from a task's arrival until it first began; `changes` counts changes of the number of pods."""

    tasks: int
    finished: int
    interrupted: int
    wait_p50_seconds: float
    wait_p95_seconds: float
    wait_longest_seconds: float
    pod_seconds: int
    most_pods: int
    changes: int


@dataclass
class Simulation:
    """A run of one trace. The same seed gives the same run."""

    trace: Trace
    policy: Policy
    slots_per_pod: int = 8
    seed: int = 1
    drains: bool = True

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._pods = [_Pod(ready_at=0) for _ in range(self.policy.min_replicas)]
        self._queue: deque[_Task] = deque()
        self._history = History()
        self._arrived: deque[int] = deque(maxlen=RATE_WINDOW_SECONDS)
        self._waits: list[int] = []
        self._tasks = self._finished = self._interrupted = self._pod_seconds = self._changes = self._most = 0
        self.plans: list[Plan] = []

    def run(self) -> Outcome:
        """Plays the whole trace."""
        for second in range(self.trace.seconds):
            self._arrive(second)
            self._work(second)
            self._begin(second)
            self._scale(second)
            self._pod_seconds += len(self._pods)
            self._most = max(self._most, len(self._pods))
        waits = sorted(self._waits) or [0]
        return Outcome(
            tasks=self._tasks,
            finished=self._finished,
            interrupted=self._interrupted,
            wait_p50_seconds=_percentile(waits, 0.5),
            wait_p95_seconds=_percentile(waits, 0.95),
            wait_longest_seconds=waits[-1],
            pod_seconds=self._pod_seconds,
            most_pods=self._most,
            changes=self._changes,
        )

    def _arrive(self, second: int) -> None:
        rate = self.trace.arrivals(second)
        # The fraction is a chance: 0.2 a second is a task every five seconds on average.
        count = int(rate) + (self._dice.random() < rate % 1)
        self._arrived.append(count)
        self._tasks += count
        for _ in range(count):
            spread = self._dice.uniform(1 - SPREAD, 1 + SPREAD)
            self._queue.append(_Task(second, self.trace.service_seconds * spread))

    def _work(self, second: int) -> None:
        if self.trace.models_away(second):
            return
        for pod in self._pods:
            for task in list(pod.running):
                task.work_seconds -= 1
                if task.work_seconds <= 0:
                    pod.running.remove(task)
                    self._finished += 1

    def _begin(self, second: int) -> None:
        for pod in self._pods:
            while self._queue and len(pod.running) < self.slots_per_pod and pod.ready_at <= second and not pod.draining:
                task = self._queue.popleft()
                if task.began_at is None:
                    task.began_at = second
                    self._waits.append(second - task.arrived_at)
                pod.running.append(task)

    def _scale(self, second: int) -> None:
        away = self.trace.models_away(second)
        demand = Demand(
            backlog=len(self._queue),
            in_flight=sum(len(pod.running) for pod in self._pods),
            oldest_age_seconds=second - self._queue[0].arrived_at if self._queue else 0,
            arrival_rate=sum(self._arrived) / len(self._arrived),
            mean_service_seconds=self.trace.service_seconds,
            open_breakers=BREAKER if away else (),
        )
        draining = [pod for pod in self._pods if pod.draining]
        workers = WorkerCount(replicas=len(self._pods), slots_per_pod=self.slots_per_pod, draining=len(draining))
        plan, self._history = decide(demand, workers, self.policy, self._history, now=second)
        if not self.plans or self.plans[-1].explanation != plan.explanation:
            self.plans.append(plan)
        self._follow(plan, draining, second)

    def _follow(self, plan: Plan, draining: Sequence[_Pod], second: int) -> None:
        staying = len(self._pods) - len(draining)
        if plan.staying > staying:
            called_back = draining[: plan.staying - staying]
            for pod in called_back:
                pod.draining = False
            added = plan.staying - staying - len(called_back)
            self._pods += [_Pod(ready_at=second + self.trace.start_seconds) for _ in range(added)]
            self._changes += added > 0
        elif plan.staying < staying:
            for pod in self._victims()[: staying - plan.staying]:
                pod.draining = True
        before = len(self._pods)
        if not self.drains:
            for pod in [pod for pod in self._pods if pod.draining]:
                self._interrupted += len(pod.running)
                self._queue.extendleft(pod.running)
                pod.running = []
        self._pods = [pod for pod in self._pods if not pod.draining or pod.running]
        self._changes += len(self._pods) < before

    def _victims(self) -> list[_Pod]:
        """Returns the candidates for removal, the least busy first.

        Without drains the order is random, because a Deployment does not know which pods are busy.
        """
        candidates = [pod for pod in self._pods if not pod.draining]
        self._dice.shuffle(candidates)
        return sorted(candidates, key=lambda pod: len(pod.running)) if self.drains else candidates


def _percentile(ascending: Sequence[int], share: float) -> float:
    return float(ascending[min(len(ascending) - 1, int(share * len(ascending)))])
