"""The decision about the number of workers: rules for any demand, and the figures of some."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_operator.autoscaler.decide import Demand, History, Plan, Reason, WorkerCount, decide
from agent_operator.autoscaler.policy import Policy

POLICY = Policy(min_replicas=1, max_replicas=20)
IDLE = Demand(backlog=0, in_flight=0, oldest_age_seconds=0, arrival_rate=0, mean_service_seconds=20)

demands = st.builds(
    Demand,
    backlog=st.integers(0, 100_000),
    in_flight=st.integers(0, 5_000),
    oldest_age_seconds=st.floats(0, 10_000),
    arrival_rate=st.floats(0, 500),
    mean_service_seconds=st.floats(0, 2_000),
    rate_limited_share=st.floats(0, 1),
    open_breakers=st.lists(st.sampled_from(["openai:a", "tavily"]), max_size=2),
    age_seconds=st.floats(0, 30),
    held_back=st.integers(0, 3),
)
policies = st.builds(
    lambda low, high, **options: Policy(min_replicas=low, max_replicas=max(low, high), **options),
    st.integers(0, 10),
    st.integers(1, 50),
    down_window_seconds=st.floats(0, 200),
    up_pods=st.integers(1, 10),
    down_pods=st.integers(1, 5),
)
deployments = st.integers(0, 60).flatmap(
    lambda replicas: st.builds(
        WorkerCount,
        replicas=st.just(replicas),
        slots_per_pod=st.integers(1, 128),
        draining=st.integers(0, replicas),
        rolling_out=st.booleans(),
        other_scaler=st.sampled_from([None, None, None, "HorizontalPodAutoscaler worker"]),
    )
)


def plans(demand: Demand, workers: WorkerCount, policy: Policy = POLICY, *, seconds: int = 1) -> list[Plan]:
    """Makes one decision a second about workers that stay as they are."""
    history, made = History(), []
    for now in range(seconds):
        plan, history = decide(demand, workers, policy, history, now=float(now))
        made.append(plan)
    return made


@given(demand=st.none() | demands, workers=deployments, policy=policies, seconds=st.integers(1, 300))
def test_any_plan_keeps_the_rules(demand: Demand | None, workers: WorkerCount, policy: Policy, seconds: int) -> None:
    history = History()
    for now in (0.0, float(seconds)):
        plan, history = decide(demand, workers, policy, history, now=now)

        assert plan.explanation
        assert "\n" not in plan.explanation
        if demand is None or demand.age_seconds > policy.stale_seconds or workers.other_scaler:
            assert plan.staying == workers.staying
            continue
        if plan.staying > workers.staying:
            assert plan.staying <= max(policy.max_replicas, workers.replicas)
            assert plan.staying <= workers.replicas + max(policy.up_pods, workers.replicas)
        if plan.staying < workers.staying:
            assert plan.staying >= policy.min_replicas
            assert plan.staying * workers.slots_per_pod >= min(
                demand.in_flight, workers.staying * workers.slots_per_pod
            )
            assert not workers.rolling_out
            assert workers.replicas - plan.staying <= max(policy.down_pods, workers.replicas * policy.down_share)
            assert now >= policy.down_window_seconds or workers.staying > policy.max_replicas


@given(demand=demands, workers=deployments, policy=policies)
def test_from_none_there_is_always_a_first_one(demand: Demand, workers: WorkerCount, policy: Policy) -> None:
    fresh = replace(demand, age_seconds=0, backlog=max(1, demand.backlog))
    none = replace(workers, replicas=0, draining=0, other_scaler=None)

    plan, _ = decide(fresh, none, policy, History(), now=0)

    assert plan.staying >= 1


@given(demand=demands, policy=policies, slots=st.integers(1, 64))
def test_under_constant_demand_the_number_comes_to_rest(demand: Demand, policy: Policy, slots: int) -> None:
    steady = replace(demand, age_seconds=0, oldest_age_seconds=0, rate_limited_share=0, open_breakers=())
    workers, history = WorkerCount(replicas=policy.min_replicas, slots_per_pod=slots), History()
    for second in range(120):
        plan, history = decide(steady, workers, policy, history, now=float(second))
        workers = replace(workers, replicas=plan.staying)
    assert plan.staying == plan.desired
    assert plan.staying >= min(policy.max_replicas, math.ceil(steady.in_flight / slots))


def test_the_formula() -> None:
    """Checks 100 tasks that wait, of which a slot does 3 in a minute: 34 slots, and 6 in flight, at 80 % of 8 slots."""
    demand = replace(IDLE, backlog=100, in_flight=6)

    (plan,) = plans(demand, WorkerCount(replicas=5, slots_per_pod=8))

    assert (plan.desired, plan.staying, plan.reason) == (7, 7, Reason.BACKLOG)
    assert "100 wait and 6 are in flight" in plan.explanation


def test_arrivals_ask_for_their_share_before_a_backlog_is_there() -> None:
    demand = replace(IDLE, arrival_rate=2)

    (plan,) = plans(demand, WorkerCount(replicas=5, slots_per_pod=8))

    assert (plan.desired, plan.reason) == (8, Reason.ARRIVALS)  # 2 x 20 s x 1.2 = 48 slots


def test_tasks_that_wait_too_long_bring_one_more() -> None:
    demand = replace(IDLE, backlog=1, oldest_age_seconds=301)

    (plan,) = plans(demand, WorkerCount(replicas=3, slots_per_pod=8))

    assert (plan.staying, plan.reason) == (4, Reason.OLD_TASKS)


def test_work_that_limits_hold_back_starts_no_worker() -> None:
    demand = replace(IDLE, backlog=0, in_flight=10, held_back=9_990, arrival_rate=50)

    (plan,) = plans(demand, WorkerCount(replicas=2, slots_per_pod=8))

    assert (plan.staying, plan.reason) == (2, Reason.ENOUGH)
    assert "limits hold 9990 more back" in plan.explanation


def test_tasks_that_may_run_still_have_their_share_of_the_arrivals() -> None:
    demand = replace(IDLE, backlog=10, in_flight=10, held_back=10, arrival_rate=3)

    (plan,) = plans(demand, WorkerCount(replicas=1, slots_per_pod=8))

    assert plan.reason is Reason.ARRIVALS


def test_up_goes_by_doubling_or_four_in_a_period() -> None:
    demand = replace(IDLE, backlog=10_000)
    workers, history, seen = WorkerCount(replicas=1, slots_per_pod=8), History(), []
    for second in range(12):
        plan, history = decide(demand, workers, POLICY, history, now=float(second))
        workers = replace(workers, replicas=plan.staying)
        seen.append(plan.staying)
    assert seen == [5, 5, 5, 5, 5, 10, 10, 10, 10, 10, 20, 20]


def test_down_waits_for_a_whole_window_and_goes_in_steps() -> None:
    workers, history, seen = WorkerCount(replicas=10, slots_per_pod=8), History(), {}
    for second in range(360):
        plan, history = decide(IDLE, workers, POLICY, history, now=float(second))
        if plan.staying != workers.replicas:
            seen[second] = plan.staying
            workers = replace(workers, replicas=plan.staying)
    assert next(iter(seen)) == 120
    assert list(seen.values())[:3] == [8, 6, 5]
    assert workers.replicas == 1


def test_a_short_lull_removes_no_worker() -> None:
    workers, history = WorkerCount(replicas=7, slots_per_pod=8), History()
    busy = replace(IDLE, backlog=100, in_flight=6)
    for second in range(600):
        demand = busy if second % 100 == 0 else IDLE
        plan, history = decide(demand, workers, POLICY, history, now=float(second))
        assert plan.staying == 7


@pytest.mark.parametrize(
    "trouble", [{"rate_limited_share": 0.06}, {"open_breakers": ("openai:gpt-4.1",)}], ids=["429", "breaker"]
)
def test_models_in_trouble_freeze_what_is_there(trouble: dict[str, object]) -> None:
    demand = replace(IDLE, backlog=1_000, **trouble)  # type: ignore[arg-type]  # fields of Demand by name

    (plan,) = plans(demand, WorkerCount(replicas=2, slots_per_pod=8))
    (first,) = plans(demand, WorkerCount(replicas=0, slots_per_pod=8), Policy(min_replicas=0))

    assert (plan.staying, plan.reason) == (2, Reason.MODELS_IN_TROUBLE)
    assert first.staying >= 1


@pytest.mark.parametrize(
    ("workers", "demand", "reason", "words"),
    [
        (WorkerCount(3, 8, other_scaler="HorizontalPodAutoscaler w"), IDLE, Reason.OTHER_SCALER, "two would fight"),
        (WorkerCount(3, 8), None, Reason.NO_DATA, "no figures"),
        (WorkerCount(3, 8), replace(IDLE, age_seconds=11), Reason.STALE_DATA, "11 s old"),
        (WorkerCount(3, 8, rolling_out=True), IDLE, Reason.ROLLOUT, "rollout"),
    ],
)
def test_if_it_must_not_act_the_number_stays_and_the_plan_has_the_reason(
    workers: WorkerCount, demand: Demand | None, reason: Reason, words: str
) -> None:
    plan = plans(demand, workers, seconds=300)[-1]  # type: ignore[arg-type]  # None: no figures

    assert (plan.staying, plan.reason) == (3, reason)
    assert words in plan.explanation


def test_missing_figures_begin_the_window_anew() -> None:
    history = History()
    workers = WorkerCount(replicas=5, slots_per_pod=8)
    for second in range(240):
        demand = None if second == 110 else IDLE
        plan, history = decide(demand, workers, POLICY, history, now=float(second))
        if second < 231:
            assert plan.staying == 5, second
    assert plan.staying < 5


def test_the_drained_are_called_back_before_others_are_added() -> None:
    demand = replace(IDLE, backlog=100, in_flight=6)

    (plan,) = plans(demand, WorkerCount(replicas=6, slots_per_pod=8, draining=2))

    assert (plan.desired, plan.staying, plan.reason) == (7, 6, Reason.DEMAND_RETURNED)
