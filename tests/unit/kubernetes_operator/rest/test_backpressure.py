"""The gate before the API: who is held back, for how long, and who finds out that it is open again."""

from __future__ import annotations

import pytest

from agent_operator.rest import backpressure as gate_module
from agent_operator.rest.backpressure import Gate
from agent_operator.rest.rest_client import OrchestratorAway


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(gate_module, "time", time)
    return time


def away(code: str = "INTAKE_PAUSED") -> OrchestratorAway:
    return OrchestratorAway(code, "Not now.", retry_seconds=10)


def held_back(gate: Gate, tenant: str) -> float | None:
    try:
        gate.enter(tenant)
    except OrchestratorAway as reason:
        return reason.retry_seconds
    return None


def test_trouble_of_the_api_holds_everybody_back(time: Time) -> None:
    gate = Gate()
    gate.close("one", away())
    time.now = 4

    assert held_back(gate, "one") == held_back(gate, "other") == 6


def test_a_full_queue_holds_its_own_tenant_back(time: Time) -> None:
    gate = Gate()
    gate.close("one", away("TENANT_QUEUE_FULL"))

    assert held_back(gate, "one") == 10
    assert held_back(gate, "other") is None


def test_one_finds_out_and_the_others_wait_for_its_word(time: Time) -> None:
    gate = Gate()
    gate.close("one", away())
    time.now = 10

    assert held_back(gate, "one") is None
    assert held_back(gate, "other") == 10

    gate.taken("one")
    assert held_back(gate, "other") is None


def test_being_held_back_does_not_shorten_the_wait_of_others(time: Time) -> None:
    gate = Gate()
    gate.close("one", away())
    time.now = 9.9
    assert held_back(gate, "one") == pytest.approx(0.1)
    time.now = 10

    passed = [tenant for tenant in ("a", "b", "c", "d") if held_back(gate, tenant) is None]

    assert passed == ["a"]
