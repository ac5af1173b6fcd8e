"""The survey: it finds what watch and feed have missed, and cancels only tasks whose object is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agent_operator.agenttasks.register import FINISHED_LABEL
from agent_operator.agenttasks.survey import NamespaceServed
from app.domain.task import TaskStatus
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import NAMESPACE, NOW, World


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


async def test_a_cluster_without_any_object_cancels_nothing(world: World) -> None:
    """A cluster that was set up anew, or a second one of the same name, knows none of the objects."""
    world.add("poem")
    await Crew(world).go_round()
    key = world.key_of("poem")
    world.objects.clear()
    later = Crew(world)
    later.clock.advance(600)

    await later.survey.check_all()

    assert world.tasks[key].status is TaskStatus.QUEUED


async def test_a_namespace_that_is_gone_stops_neither_the_survey_nor_its_own_tasks(world: World) -> None:
    world.add("poem")
    crew = Crew(world, namespaces=("gone", NAMESPACE))
    await crew.go_round()
    world.forbidden.add("gone")
    world.add("song")

    await crew.survey.check_all()
    await crew.reconcile_all()

    assert world.key_of("song") in world.tasks
    assert crew.metrics.operator_unserved_namespaces._value.get() == 1


async def test_a_namespace_that_comes_back_ends_the_operator_which_then_serves_it(world: World) -> None:
    world.forbidden.add("later")
    crew = Crew(world, waiting_for=("later",))
    await crew.survey.check_all()
    world.forbidden.clear()

    with pytest.raises(NamespaceServed, match="later"):
        await crew.survey.check_all()


def restore(world: World, name: str, *, under: str | None = None) -> dict[str, Any]:
    """Brings an object back as a backup does: with its spec, labels and annotations, without its status."""
    before = world.objects.pop(name)["metadata"] if under is None else world.objects[name]["metadata"]
    body = world.add(under or name)
    body["metadata"] |= {part: dict(before[part]) for part in ("labels", "annotations")}
    return body


@pytest.mark.parametrize("end", [TaskStatus.COMPLETED, TaskStatus.FAILED])
async def test_an_object_from_a_backup_is_told_as_restored_and_not_run_again(world: World, end: TaskStatus) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world.end(world.key_of("poem"), end)
    await crew.go_round(2)
    task_id = world.objects["poem"]["status"]["taskId"]

    restore(world, "poem")
    later = Crew(world)
    await later.survey.check_all()
    await later.reconcile_all()

    status = world.objects["poem"]["status"]
    assert (status["phase"], status["taskId"]) == (end.value.capitalize(), task_id)
    assert {condition["reason"] for condition in status["conditions"]} >= {"Restored"}
    assert len(world.submissions) == 1


async def test_a_copy_under_another_name_is_a_new_task(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world.end(world.key_of("poem"))
    await crew.go_round(2)

    copied = restore(world, "poem", under="another")
    await crew.survey.check_all()
    await crew.reconcile_all()

    assert copied["metadata"]["uid"] in world.tasks
    assert "agentorchestrator.dev/end" not in world.objects["another"]["metadata"].get("annotations", {})
