"""The autoscaler's steps: no worker is removed that runs a task or could claim one, whatever happens in between."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from agent_operator.autoscaler.decision_log import DecisionLog
from agent_operator.autoscaler.figures import FigureReader
from agent_operator.autoscaler.fleet import Deployment
from agent_operator.autoscaler.loop import Autoscaler
from agent_operator.autoscaler.policy import Policy
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import Cluster, ClusterUnavailable
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.rest_client import RestClient
from app.telemetry.metrics import OperatorMetrics
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.autoscaler.fleet_world import FakeDrains, FakeFigures, FakeKubernetes, FleetWorld
from tests.unit.kubernetes_operator.world import Fate, Killed

MOST_CALLS = 200
QUICK = Policy(min_replicas=1, max_replicas=10, down_window_seconds=0, down_pods=10, up_period_seconds=0.001)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def autoscaler(
    world: FleetWorld, clock: ManualClock, policy: Policy = QUICK, metrics: OperatorMetrics | None = None
) -> Autoscaler:
    metrics = metrics or OperatorMetrics(version="test")
    cluster = cast("Cluster", FakeKubernetes(world))
    return Autoscaler(
        Deployment(cluster, "agents", "worker"),
        cast("FigureReader", FakeFigures(world)),
        cast("RestClient", FakeDrains(world)),
        EventRecorder(cluster, metrics.agenttasks, clock),
        DecisionLog(cast("RestClient", FakeDrains(world)), clock, "agents/worker"),
        policy=policy,
        clock=clock,
        metrics=metrics.autoscaler,
        pulse=Pulse(clock),
    )


async def run(scaler: Autoscaler, clock: ManualClock, ticks: int) -> None:
    for _ in range(ticks):
        await scaler.tick()
        clock.advance(1)


def pods(**workers: Any) -> FleetWorld:
    """Makes a world with these pods: each has this number of running tasks, or None if it has not started."""
    world = FleetWorld()
    for name, running in workers.items():
        world.add(name, None if running is None else world.start(running))
    return world


async def test_idle_workers_go_and_the_busy_one_stays(clock: ManualClock) -> None:
    world = pods(a=0, b=2, c=0)

    await run(autoscaler(world, clock), clock, 6)

    assert (sorted(world.taken), world.wronged, list(world.workers)) == (["a", "c"], [], ["b"])


async def test_the_gauges_of_the_queue_are_nan_without_figures(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, metrics = pods(a=1), OperatorMetrics(version="test")
    scaler = autoscaler(world, clock, metrics=metrics)

    def shown(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"queue": "agent_tasks"})

    world.backlog, world.oldest_age_seconds = 12, 34.5
    await scaler.tick()
    assert (shown("agents_queue_depth"), shown("agents_queue_oldest_age_seconds")) == (12, 34.5)

    async def refuse(_: Deployment) -> None:
        raise ClusterUnavailable("ServiceUnavailable", "no answer")

    world.oldest_age_seconds = 99.0
    with monkeypatch.context() as outage:
        outage.setattr(Deployment, "read", refuse)
        with pytest.raises(ClusterUnavailable):
            await scaler.tick()
    assert shown("agents_queue_oldest_age_seconds") == 99, "also while Kubernetes does not answer"

    world.silent = True
    await scaler.tick()
    assert math.isnan(shown("agents_queue_depth") or 0)
    assert math.isnan(shown("agents_queue_oldest_age_seconds") or 0)


async def test_a_worker_that_is_drained_goes_when_its_last_task_has_ended(clock: ManualClock) -> None:
    world = pods(a=1, b=1)
    scaler = autoscaler(world, clock, QUICK.model_copy(update={"utilisation": 0.5}))
    await run(scaler, clock, 3)
    assert world.taken == []

    for worker in world.workers.values():
        assert worker is not None
        worker.running = 0 if worker.drained else 1
    await run(scaler, clock, 4)

    assert (len(world.taken), world.wronged) == (1, [])


async def test_pods_that_cannot_start_go_first_however_many(clock: ManualClock) -> None:
    """Checks the order in which Kubernetes removes pods: while there are any that cannot start, no worker goes."""
    world = pods(a=1, b=0, c=None, d=None, e=None, f=None)

    await run(autoscaler(world, clock, QUICK.model_copy(update={"down_pods": 2, "down_share": 0.01})), clock, 12)

    assert (set(world.taken[:4]), world.wronged) == ({"c", "d", "e", "f"}, [])
    assert list(world.workers) == ["a"]


async def test_a_worker_that_starts_in_a_drained_pod_is_drained_then(clock: ManualClock) -> None:
    world = pods(a=1, b=None)
    # Holds up every removal except that of unstarted pods.
    world.add("sick", world.start(0, ready=False, publishes=False))
    scaler = autoscaler(world, clock)
    world.lags = True
    await run(scaler, clock, 1)
    world.workers["b"] = world.start(0)

    await run(scaler, clock, 20)
    world.controller()

    assert world.wronged == []


async def test_a_worker_that_is_silent_is_left_alone(clock: ManualClock) -> None:
    """Checks that a worker without a presence stays: it may hang, and have tasks."""
    world = pods(a=1)
    world.add("silent", world.start(3, ready=False, publishes=False))

    await run(autoscaler(world, clock), clock, 5)

    assert world.taken == []


async def test_a_controller_that_is_slow_changes_nothing(clock: ManualClock) -> None:
    world = pods(a=0, b=1)
    world.lags = True
    scaler = autoscaler(world, clock)

    for _ in range(8):
        await run(scaler, clock, 1)
        if world.replicas < 2:
            break
    await run(scaler, clock, 3)
    world.controller()
    await run(scaler, clock, 3)

    assert (world.taken, world.wronged) == (["a"], [])


async def test_demand_that_returns_calls_drained_workers_back_before_pods_are_added(clock: ManualClock) -> None:
    world = pods(a=1, b=1)
    scaler = autoscaler(world, clock, QUICK.model_copy(update={"utilisation": 0.5}))
    await run(scaler, clock, 2)
    assert [worker.drained for worker in world.workers.values() if worker].count(True) == 1

    world.backlog = 300
    await run(scaler, clock, 1)

    assert [worker.drained for worker in world.workers.values() if worker] == [False, False]
    assert world.replicas == 2


@pytest.mark.parametrize("trouble", ["stale", "other"])
async def test_no_worker_goes_or_stays_drained_with_old_figures_or_beside_another_scaler(
    clock: ManualClock, trouble: str
) -> None:
    world = pods(a=0, b=1)
    world.lags = True
    scaler = autoscaler(world, clock)
    await scaler.tick()
    assert any(worker.drained for worker in world.workers.values() if worker)

    if trouble == "stale":
        world.age_seconds = 60
    else:
        world.other_scaler = "theirs"
        clock.advance(60)
    await run(scaler, clock, 3)

    assert world.replicas == 2
    assert not any(worker.drained for worker in world.workers.values() if worker)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_operator_killed_in_any_call_wrongs_no_worker_and_the_next_one_ends_right(
    clock: ManualClock, after: bool
) -> None:
    died = 0
    for call in range(MOST_CALLS):
        world = pods(a=0, b=1, c=0)
        world.fate = Fate(call, after=after)
        try:
            await run(autoscaler(world, clock), clock, 6)
        except Killed:
            died += 1
            world.fate = Fate()
            for worker in world.workers.values():  # the leases of the one that died run out
                if worker is not None:
                    worker.drained = False
            await run(autoscaler(world, clock), clock, 8)
        assert (world.wronged, list(world.workers), world.costs) == ([], ["b"], {})
        if died < call + 1:
            break
    assert 10 < died < MOST_CALLS - 1


async def test_a_worker_that_has_started_since_the_fleet_was_read_is_not_removed(clock: ManualClock) -> None:
    """Checks that the memory of the fleet, which no watch has ended yet, proves nothing: the pod runs tasks by now."""
    world = pods(a=1, b=None)
    world.backlog = 300
    scaler = autoscaler(world, clock, QUICK.model_copy(update={"max_replicas": 2}))
    scaler.fleet_watch._deployment_is_watched, scaler.fleet_watch._watched_pods = True, "app=worker"
    await run(scaler, clock, 1)
    world.workers["b"] = world.start(3, ready=False, publishes=False)
    world.backlog = 0

    await run(scaler, clock, 6)

    assert (world.taken, world.wronged) == ([], [])


async def test_idle_workers_go_by_a_fresh_look_while_the_fleet_is_watched(clock: ManualClock) -> None:
    world = pods(a=0, b=2, c=0)
    scaler = autoscaler(world, clock)
    scaler.fleet_watch._deployment_is_watched, scaler.fleet_watch._watched_pods = True, "app=worker"

    await run(scaler, clock, 8)

    assert (sorted(world.taken), world.wronged) == (["a", "c"], [])
