"""The intake switch as one process reads it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from app.domain.intake import Intake
from app.errors import IntakePaused, StoreUnavailable
from app.services.intake_switch import FRESH_SECONDS, IntakeSwitch
from tests.support.doubles import ManualClock


class StoredSwitch:
    """The switch in a store that counts the reads and can be down."""

    def __init__(self) -> None:
        self.stored = Intake()
        self.reads = 0
        self.down = False

    async def intake(self) -> Intake:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("the store is switched off")
        return self.stored

    async def set_intake(self, intake: Intake) -> None:
        self.stored = intake


async def test_a_pause_set_elsewhere_is_read_within_a_second() -> None:
    stored, clock = StoredSwitch(), ManualClock()
    switch = IntakeSwitch(cast("Any", stored), clock)
    await switch.require_open()
    stored.stored = Intake(accepting=False, reason="incident")
    await switch.require_open()
    assert stored.reads == 1

    clock.advance(FRESH_SECONDS)

    with pytest.raises(IntakePaused, match="incident"):
        await switch.require_open()


async def test_a_pause_set_here_holds_at_once() -> None:
    switch = IntakeSwitch(cast("Any", StoredSwitch()), ManualClock())
    await switch.require_open()

    await switch.set(Intake(accepting=False))

    with pytest.raises(IntakePaused):
        await switch.require_open()


async def test_without_the_store_nothing_is_assumed() -> None:
    stored, clock = StoredSwitch(), ManualClock()
    switch = IntakeSwitch(cast("Any", stored), clock)
    await switch.require_open()
    stored.down = True
    clock.advance(FRESH_SECONDS)

    with pytest.raises(StoreUnavailable):
        await switch.require_open()
