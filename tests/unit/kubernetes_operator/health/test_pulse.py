"""The pulse: a duty is dead after its own limit without a beat."""

from __future__ import annotations

from agent_operator.health.pulse import SILENT_SECONDS, Pulse
from tests.support.doubles import ManualClock


def test_a_duty_that_is_silent_for_longer_than_its_limit_is_dead() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    pulse.watch("mirror")
    pulse.watch("survey", silent_seconds=SILENT_SECONDS * 3)

    clock.advance(SILENT_SECONDS)
    assert pulse.dead() == []
    clock.advance(1)
    assert pulse.dead() == ["mirror"]
    pulse.beat("mirror")
    assert (pulse.dead(), pulse.silent_seconds()) == ([], {"mirror": 0.0, "survey": SILENT_SECONDS + 1})
