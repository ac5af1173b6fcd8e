"""The protocol in memory holds in every order of moves tried, and needs each of its rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.protocol.machine import ProtocolMachine
from tests.protocol.store import Broken, MemoryStore

MANY = settings(
    max_examples=settings().max_examples * 3 // 2, stateful_step_count=50, suppress_health_check=list(HealthCheck)
)


def machine_of(broken: Broken | None) -> type[ProtocolMachine]:
    return type("Machine", (ProtocolMachine,), {"build": staticmethod(partial(MemoryStore, broken)), "broken": broken})


def begin(machine: ProtocolMachine) -> None:
    """Submits one task and lets one run claim it."""
    machine.submit()
    machine.dispatch()
    machine.take_ticket(which=0)


def a_stalled_run_completes_after_another(machine: ProtocolMachine) -> None:
    begin(machine)
    machine.work(which=0, moves=4)
    machine.outlast_all_leases()
    machine.take_ticket(which=0)
    machine.work(which=1, moves=1)
    machine.work(which=0, moves=1)


def a_second_ticket_comes_while_the_first_is_worked_on(machine: ProtocolMachine) -> None:
    machine.submit()
    machine.dispatch()
    machine.deliver_again(which=0)
    machine.take_ticket(which=0)
    machine.take_ticket(which=0)
    machine.work(which=len(machine.runs) - 1, moves=2)
    machine.work(which=0, moves=1)


def a_stalled_run_calls_what_another_has_recorded(machine: ProtocolMachine) -> None:
    begin(machine)
    machine.outlast_all_leases()
    machine.take_ticket(which=0)
    machine.work(which=1, moves=2)
    machine.work(which=0, moves=1)


def play(story: Callable[[ProtocolMachine], None], machine: ProtocolMachine) -> None:
    story(machine)
    machine.a_task_ends_once_and_stays_so()


NEEDED = [
    (Broken.FENCE, a_stalled_run_completes_after_another),
    (Broken.IDEMPOTENT_CLAIM, a_second_ticket_comes_while_the_first_is_worked_on),
    (Broken.LEASE, a_stalled_run_calls_what_another_has_recorded),
]


def test_the_protocol_holds_whatever_happens() -> None:
    run_state_machine_as_test(machine_of(None), settings=MANY)


@pytest.mark.parametrize(("broken", "story"), NEEDED)
def test_without_one_of_its_rules_the_protocol_breaks(broken: Broken, story: Callable[[ProtocolMachine], None]) -> None:
    machine = machine_of(broken)()
    with pytest.raises(AssertionError):
        play(story, machine)


@pytest.mark.parametrize("story", [story for _, story in NEEDED])
def test_with_all_rules_the_same_stories_end_well(story: Callable[[ProtocolMachine], None]) -> None:
    machine = machine_of(None)()
    play(story, machine)
    machine.teardown()
