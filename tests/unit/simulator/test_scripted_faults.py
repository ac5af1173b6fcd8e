"""The faults by call, and the number of calls that each hits."""

from __future__ import annotations

import pytest

from app.simulator.scripted_faults import (
    FAILURES,
    NAMES,
    NO_FAULT,
    TRANSPORT,
    VERBOSE_CHARACTERS,
    Effect,
    FaultPlan,
    FaultRule,
    ScriptedFaults,
    is_known,
)


def plan(faults: ScriptedFaults, model: str = "gpt-4.1", *, header: str = "", task_id: str = "t1") -> FaultPlan:
    return faults.plan(provider="openai", model=model, header=header, task_id=task_id)


@pytest.mark.parametrize("model", ["gpt-4.1", "sim-model", "claude-sonnet-5", "sim-", "simple-down"])
def test_other_models_answer_normally(model: str) -> None:
    assert plan(ScriptedFaults(), model) is NO_FAULT


@pytest.mark.parametrize("prefix", ["sim-", "gpt-sim-", "claude-sim-"])
@pytest.mark.parametrize("fault", sorted(FAILURES))
def test_model_name_asks_for_a_failure(prefix: str, fault: str) -> None:
    assert plan(ScriptedFaults(), prefix + fault).failure == FAILURES[fault]


def test_faults_are_composed() -> None:
    composed = plan(ScriptedFaults(), "sim-slow-200+drip-5+broken-json+reset")
    assert (composed.latency_ms, composed.drip_ms) == (200, 5)
    assert composed.effects == {Effect.BROKEN_JSON}
    assert composed.transport == "reset"
    assert composed.name == "slow-200+drip-5+broken-json+reset"


def test_once_hits_the_first_call_of_each_task() -> None:
    faults = ScriptedFaults()
    hit = [plan(faults, "sim-429-once", task_id=task_id).failure is not None for task_id in ("a", "a", "b", "b")]
    assert hit == [True, False, True, False]


def test_header_asks_for_a_fault() -> None:
    assert plan(ScriptedFaults(), header="empty").effects == {Effect.EMPTY}
    assert plan(ScriptedFaults(), header="nonsense") == NO_FAULT


def test_rule_counts_down() -> None:
    faults = ScriptedFaults(rules=[FaultRule(fault="down", model="gpt-4.1", times=2)])
    failed = [plan(faults).failure is not None for _ in range(3)]
    assert failed == [True, True, False]


def test_rule_hits_only_what_it_names() -> None:
    faults = ScriptedFaults(
        rules=[FaultRule(fault="down", provider="anthropic"), FaultRule(fault="down", model="other")]
    )
    assert plan(faults).failure is None


def test_a_rule_with_a_text_hits_the_requests_that_hold_it() -> None:
    faults = ScriptedFaults(rules=[FaultRule(fault="verbose-300", text="at length", times=1)])

    plans = [
        faults.plan(provider="openai", model="m", header="", task_id="t", body=body)
        for body in (b'{"text": "in short"}', b'{"text": "at length"}', b'{"text": "at length"}')
    ]

    assert [(Effect.VERBOSE in one.effects, one.verbose_characters) for one in plans] == [
        (False, VERBOSE_CHARACTERS),
        (True, 300),
        (False, VERBOSE_CHARACTERS),
    ]


def test_clearing_forgets_rules_and_strikes() -> None:
    faults = ScriptedFaults(rules=[FaultRule(fault="down")])
    plan(faults, "sim-empty-once")
    faults.clear()
    assert plan(faults, "sim-empty-once").effects == {Effect.EMPTY}
    assert plan(faults).failure is None


def test_every_name_is_known() -> None:
    assert all(is_known(name) and is_known(f"{name}-once") for name in NAMES)
    assert NAMES >= TRANSPORT
    assert not is_known("down+nonsense")
