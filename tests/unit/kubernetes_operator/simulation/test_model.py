"""The simulation: with drains no task is interrupted, without them some are, and the tables show the costs."""

from __future__ import annotations

import pytest

from agent_operator.autoscaler.policy import Policy
from agent_operator.simulation.__main__ import main
from agent_operator.simulation.model import Outcome, Simulation
from agent_operator.simulation.traces import TRACES

POLICY = Policy(min_replicas=1, max_replicas=20)


def play(name: str, policy: Policy = POLICY, *, seed: int = 1, drains: bool = True) -> Outcome:
    return Simulation(TRACES[name], policy, seed=seed, drains=drains).run()


@pytest.mark.parametrize("name", sorted(TRACES))
@pytest.mark.parametrize("seed", [1, 2])
def test_no_trace_interrupts_a_task_or_leaves_one_behind(name: str, seed: int) -> None:
    outcome = play(name, seed=seed)

    assert outcome.interrupted == 0
    assert outcome.tasks - outcome.finished <= 40 * TRACES[name].arrivals(TRACES[name].seconds - 1) + 8
    assert outcome.most_pods <= POLICY.max_replicas


def test_the_same_seed_plays_the_same_and_another_one_does_not() -> None:
    assert play("spike") == play("spike")
    assert play("spike") != play("spike", seed=2)


def test_without_drains_shrinking_interrupts_tasks() -> None:
    assert play("diurnal", drains=False).interrupted > 0


def test_more_pods_shorten_the_wait_and_cost_more() -> None:
    few, many = (play("step", Policy(max_replicas=most)) for most in (8, 20))

    assert many.wait_p95_seconds < few.wait_p95_seconds


def test_a_quiet_system_shrinks_to_none_and_comes_back() -> None:
    outcome = play("quiet", Policy(min_replicas=0))

    assert outcome.finished == outcome.tasks > 0
    assert outcome.pod_seconds < TRACES["quiet"].seconds / 2


def test_an_outage_of_the_models_adds_no_pods() -> None:
    trace = TRACES["llm-outage"]
    simulation = Simulation(trace, POLICY)
    simulation.run()

    assert any("circuit breaker of simulated" in plan.explanation for plan in simulation.plans)


def test_it_prints_a_table_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", "quiet", "--explain", "max_replicas=3"]) == 0

    printed = capsys.readouterr().out
    assert "| quiet |" in printed
    assert "enough: 1 workers are enough" in printed


@pytest.mark.parametrize(
    ("argument", "words"), [("max_replica=3", "max_replica: Extra inputs"), ("max_replicas=x", "max_replicas: Input")]
)
def test_a_setting_that_is_none_is_named(argument: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 2
    assert words in capsys.readouterr().err
