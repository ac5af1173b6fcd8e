"""The demand in the leader's snapshot, of this version and of the one before."""

from __future__ import annotations

import pytest

from agent_operator.autoscaler.decide import History, Reason, WorkerCount, decide
from agent_operator.autoscaler.figures import demand_in
from agent_operator.autoscaler.policy import Policy

OLD = {
    "waiting": "28",
    "oldest_age_seconds": "3600.0",
    "arrival_rate": "0.5",
    "mean_service_seconds": "20",
    "rate_limited_share": "0",
    "open_breakers": "",
}
NEW = {**OLD, "runnable": "2", "oldest_runnable_age_seconds": "1.5"}


@pytest.mark.parametrize(("snapshot", "seen"), [(OLD, (31, 0, 3600.0)), (NEW, (5, 26, 1.5))])
def test_tasks_that_may_run_are_the_backlog(snapshot: dict[str, str], seen: tuple[int, int, float]) -> None:
    demand = demand_in(snapshot, 3, [], age_seconds=0.0)

    assert demand is not None
    assert (demand.backlog, demand.held_back, demand.oldest_age_seconds) == seen


def test_figures_that_still_hold_for_the_api_are_stale_for_the_autoscaler() -> None:
    policy = Policy()
    demand = demand_in({**NEW, "holds_until": "2999-01-01T00:00:00+00:00"}, 3, [], age_seconds=policy.stale_seconds + 1)

    plan, _ = decide(demand, WorkerCount(replicas=2, slots_per_pod=4), policy, History(), now=0.0)

    assert (plan.reason, plan.staying) == (Reason.STALE_DATA, 2)


def test_without_a_leader_there_is_no_demand() -> None:
    assert demand_in({}, 0, [], age_seconds=0.0) is None
