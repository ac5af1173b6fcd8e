"""The survey: it finds what watch and feed have missed, and cancels only tasks whose object is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent_operator.agenttasks.register import FINISHED_LABEL
from app.domain.task import TaskStatus
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import NOW, World


async def test_the_survey_cancels_tasks_whose_object_is_gone(world: World) -> None:
    world.add("poem")
    world.add("song")
    crew = Crew(world)
    await crew.go_round()
    gone = world.key_of("poem")
    del world.objects["poem"]  # a user has removed the finalizer

    crew.clock.advance(600)
    await crew.survey.check_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED
    assert world.tasks[world.key_of("song")].status is TaskStatus.QUEUED


async def test_the_survey_leaves_young_tasks_alone(world: World) -> None:
    """Checks that a task survives whose object may be newer than the survey's list."""
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    gone = world.key_of("poem")
    del world.objects["poem"]

    await crew.survey.check_all()

    assert world.tasks[gone].status is TaskStatus.QUEUED


async def test_the_survey_finds_an_object_that_was_labelled_by_hand(world: World) -> None:
    world.add("poem")["metadata"]["labels"] = {FINISHED_LABEL: "true"}
    crew = Crew(world)
    await crew.go_round()
    assert world.submissions == []

    await crew.survey.check_all()
    await crew.reconcile_all()

    assert FINISHED_LABEL not in world.objects["poem"]["metadata"]["labels"]
    assert len(world.submissions) == 1


async def test_a_status_that_was_edited_by_hand_is_put_right(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world.objects["poem"]["status"]["attempts"] = 99

    await crew.survey.check_all()
    await crew.mirror_all()

    assert world.objects["poem"]["status"]["attempts"] == 0


@pytest.mark.parametrize("skew", [timedelta(hours=-2), timedelta(hours=2)], ids=["behind", "ahead"])
async def test_a_wrong_clock_cancels_nothing_and_moves_the_time_to_live_alone(world: World, skew: timedelta) -> None:
    world.add("poem", ttlSecondsAfterFinished=3_600)
    world.add("song")
    crew = Crew(world)
    crew.clock.advance(skew.total_seconds())
    await crew.go_round()
    await crew.survey.check_all()
    world.end(world.key_of("poem"))
    await crew.go_round(2)
    await crew.survey.check_all()

    assert world.objects["poem"]["status"]["completionTime"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert world.objects["song"]["status"]["phase"] == "Queued"
    assert {task.status for task in world.tasks.values()} == {TaskStatus.COMPLETED, TaskStatus.QUEUED}
    assert await crew.expiry.delete_next() == (skew > timedelta(hours=1))
