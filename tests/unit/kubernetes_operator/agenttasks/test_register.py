"""The register: events that it ignores, and texts that it has no room for."""

from __future__ import annotations

from agent_operator.agenttasks.register import Register
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import World


async def test_texts_that_do_not_fit_are_read_again_when_their_turn_comes(world: World) -> None:
    world.add("long", task="x" * 10_000)
    crew = Crew(world, register=Register(ManualClock(), spec_bytes=5_000))
    crew.see_all()
    (entry,) = crew.register
    assert entry.spec is None

    await crew.reconcile_all()

    assert len(world.submissions) == 1
    assert world.objects["long"]["status"]["phase"] == "Queued"
