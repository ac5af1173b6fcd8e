"""The deletion of finished objects when their time to live is over, and not before."""

from __future__ import annotations

from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import World


async def test_an_object_is_deleted_when_its_time_is_over_and_not_before(world: World) -> None:
    world.add("poem", ttlSecondsAfterFinished=60)
    crew = Crew(world)
    await crew.go_round()
    world.end(world.key_of("poem"))
    await crew.go_round(2)

    crew.clock.advance(59)
    assert not await crew.expiry.delete_next()
    crew.clock.advance(1)
    assert await crew.expiry.delete_next()

    assert world.objects == {}


async def test_another_operator_deletes_what_ended_before_it_came(world: World) -> None:
    world.add("poem", ttlSecondsAfterFinished=60)
    crew = Crew(world)
    await crew.go_round()
    world.end(world.key_of("poem"))
    await crew.go_round(2)

    later = Crew(world)
    later.clock.advance(120)
    await later.survey.check_all()

    assert await later.expiry.delete_next()
    assert world.objects == {}


async def test_an_object_without_a_time_to_live_stays(world: World) -> None:
    world.add("poem", ttlSecondsAfterFinished=-1)
    crew = Crew(world)
    await crew.go_round()
    world.end(world.key_of("poem"))
    await crew.go_round(2)
    crew.clock.advance(10 * 365 * 86_400)
    await crew.survey.check_all()

    assert not await crew.expiry.delete_next()
