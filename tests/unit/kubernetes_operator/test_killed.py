"""An operator that is killed in any call of any duty: the next one ends right, and an object makes one task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent_operator.agenttasks.register import FINISHED_LABEL
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import Fate, Killed, World

MOST_CALLS = 100
Story = Callable[[World], Awaitable[None]]


async def completes(world: World) -> None:
    """Creates an object, whose task runs and ends."""
    crew = Crew(world)
    if "poem" not in world.objects:
        world.add("poem")
    await crew.go_round()
    for key in world.tasks:
        world.end(key)
    await crew.go_round(2)


async def is_cancelled(world: World) -> None:
    crew = Crew(world)
    if "poem" not in world.objects:
        world.add("poem")
    await crew.go_round()
    if not world.objects["poem"]["spec"].get("cancel"):
        world.change("poem", cancel=True)
    await crew.go_round(2)


async def is_deleted(world: World) -> None:
    crew = Crew(world)
    if not world.tasks and "poem" not in world.objects:
        world.add("poem")
    await crew.go_round()
    if "poem" in world.objects and "deletionTimestamp" not in world.objects["poem"]["metadata"]:
        world.ask_to_delete("poem")
    await crew.go_round(2)


async def is_cancelled_between_two_lives(world: World) -> None:
    """Cancels the object between two operators. The first may die before it has written the task's id."""
    crew = Crew(world)
    if "poem" not in world.objects:
        world.add("poem")
        await crew.go_round()
        raise Killed
    if not world.objects["poem"]["spec"].get("cancel"):
        world.change("poem", cancel=True)
        for key in world.tasks:
            world.end(key)
    await crew.go_round(2)


async def test_one_that_never_learned_its_tasks_id_ends_right_when_it_is_cancelled_later() -> None:
    for call in range(6):
        world, _ = await live_through(is_cancelled_between_two_lives, Fate(call, after=True))

        phase, unwatched, free = settled(world.objects["poem"])
        assert (unwatched, free) == (True, True)
        assert phase == ("Completed" if world.tasks else "Cancelled")


def settled(body: dict[str, Any]) -> tuple[str, bool, bool]:
    """Returns the phase, whether the watch leaves the object out, and whether it has no finalizer."""
    metadata = body["metadata"]
    return body["status"]["phase"], FINISHED_LABEL in metadata.get("labels", {}), not metadata.get("finalizers")


async def live_through(story: Story, fate: Fate) -> tuple[World, bool]:
    """Plays the story until the operator dies, and then once more with another operator; returns the world."""
    world = World(fate)
    try:
        await story(world)
    except Killed:
        world.fate = Fate()
        await story(world)
        return world, True
    return world, False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("story", "phase"), [(completes, "Completed"), (is_cancelled, "Cancelled"), (is_deleted, None)]
)
async def test_one_that_dies_in_any_call_leaves_nothing_undone(story: Story, phase: str | None, after: bool) -> None:
    died = 0
    for call in range(MOST_CALLS):
        world, killed = await live_through(story, Fate(call, after=after))

        assert len(world.tasks) == 1
        if phase is None:
            assert "poem" not in world.objects
            assert [task.status for task in world.tasks.values()] == ["cancelled"]
        else:
            assert settled(world.objects["poem"]) == (phase, True, True)
        if not killed:
            break
        died += 1
    assert 3 < died < MOST_CALLS - 1
