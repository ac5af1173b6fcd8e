"""The writer of statuses: no older state over a newer one, and no write without a change."""

from __future__ import annotations

from agent_operator.rest.task_state import TaskUsage
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import World


async def test_an_older_state_is_not_written_over_a_newer_one(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    key = world.key_of("poem")
    older = world.tasks[key]
    world.end(key)
    (entry,) = crew.register
    await crew.mirror.writer.mirror(entry, world.tasks[key])

    assert not await crew.mirror.writer.mirror(entry, older)

    assert world.objects["poem"]["status"]["phase"] == "Completed"


async def test_a_status_that_would_not_change_is_not_written(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    version = world.objects["poem"]["metadata"]["resourceVersion"]
    (entry,) = crew.register

    assert not await crew.mirror.writer.write(entry, lambda status, _: dict(status))

    assert world.objects["poem"]["metadata"]["resourceVersion"] == version


async def test_a_cost_that_is_no_longer_known_is_not_left_in_the_status(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    (entry,) = crew.register
    waiting = world.tasks[world.key_of("poem")]
    free = waiting.model_copy(update={"rev": waiting.rev + 1, "usage": TaskUsage(cost_usd=0)})
    unpriced = free.model_copy(update={"rev": free.rev + 1, "usage": TaskUsage(input_tokens=7, total_tokens=7)})
    await crew.mirror.writer.mirror(entry, free)
    assert world.objects["poem"]["status"]["usage"]["costUSD"] == "0.00"

    await crew.mirror.writer.mirror(entry, unpriced)

    assert world.objects["poem"]["status"]["usage"] == {"inputTokens": 7, "outputTokens": 0, "totalTokens": 7}


async def test_the_entry_of_an_object_that_is_gone_is_marked(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    (entry,) = crew.register
    world.objects.clear()

    assert not await crew.mirror.writer.write(entry, lambda status, _: {**status, "attempts": 7})

    assert entry.gone
