"""The roster of published agents."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.domain.agent import AgentCard
from app.errors import UnknownAgent
from app.services.roster import FRESH_SECONDS, AgentRoster
from tests.support.doubles import ManualClock


class Directory:
    """Implements `app.ports.AgentDirectory` and counts the readings."""

    def __init__(self) -> None:
        self.cards: list[AgentCard] = []
        self.reads = 0

    async def publish(self, cards: Sequence[AgentCard]) -> None:
        self.cards += cards

    async def list_all(self) -> Sequence[AgentCard]:
        self.reads += 1
        return tuple(self.cards)


def card(name: str) -> AgentCard:
    return AgentCard(name=name, agent_type="code", description="…", version="1")


async def test_agents_are_read_every_five_seconds() -> None:
    directory, clock = Directory(), ManualClock()
    roster = AgentRoster(directory, clock)
    for _ in range(3):
        await roster.list_all()
    assert directory.reads == 1

    clock.advance(FRESH_SECONDS)
    await roster.list_all()

    assert directory.reads == 2


async def test_a_name_that_is_not_known_is_read_for_at_once() -> None:
    directory = Directory()
    roster = AgentRoster(directory, ManualClock())
    await directory.publish([card("CodeAgent")])
    await roster.require("CodeAgent")
    await directory.publish([card("NewAgent")])

    await roster.require("NewAgent")

    with pytest.raises(UnknownAgent, match=r"no agent Nobody.*CodeAgent, NewAgent"):
        await roster.require("Nobody")


async def test_any_name_is_accepted_before_the_first_worker_has_published() -> None:
    await AgentRoster(Directory(), ManualClock()).require("Nobody")
