"""Objects that a backup brings back: with spec, labels and annotations, another uid, and no status."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agent_operator.agenttasks.register import FINALIZER, KEY_ANNOTATION
from agent_operator.rest.rest_client import RestUnavailable
from app.domain.task import TaskStatus
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import NOW, World

PAUSED = RestUnavailable("INTAKE_PAUSED", "The intake is paused.", retry_seconds=5)


def restore(world: World, name: str, *, under: str | None = None) -> dict[str, Any]:
    """Brings an object back as a backup does, or makes a copy of it under another name."""
    before = world.objects.pop(name) if under is None else world.objects[name]
    body = world.add(under or name, **before["spec"])
    kept = ("labels", "annotations", "finalizers")
    body["metadata"] |= {part: before["metadata"][part] for part in kept if part in before["metadata"]}
    body["metadata"]["annotations"] = dict(body["metadata"]["annotations"])
    return body


async def submit(world: World, **spec: Any) -> str:
    """Submits an object, and returns the key of its task."""
    world.add("poem", **spec)
    await Crew(world).go_round()
    return world.key_of("poem")


@pytest.mark.parametrize("end", [TaskStatus.COMPLETED, TaskStatus.FAILED])
async def test_an_object_from_a_backup_is_told_as_restored_and_not_run_again(world: World, end: TaskStatus) -> None:
    world.end(await submit(world), end)
    await Crew(world).go_round(2)
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
    world.end(await submit(world))
    await Crew(world).go_round(2)

    copied = restore(world, "poem", under="another")
    crew = Crew(world)
    await crew.survey.check_all()
    await crew.reconcile_all()

    assert copied["metadata"]["uid"] in world.tasks
    assert "agentorchestrator.dev/end" not in world.objects["another"]["metadata"].get("annotations", {})


async def test_a_task_under_way_is_picked_up_and_followed_to_its_end(world: World) -> None:
    key = await submit(world)
    restore(world, "poem")
    later = Crew(world)
    await later.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Queued"
    assert world.objects["poem"]["status"]["taskId"] == world.tasks[key].task_id
    later.mirror.record(world.tasks[key].model_copy(update={"rev": 9, "status": TaskStatus.PROCESSING}))
    await later.mirror._write(world.key_of("poem"))
    assert world.objects["poem"]["status"]["phase"] == "Processing", "the feed names the first uid"
    world.end(key)
    await Crew(world).go_round(2)

    assert world.objects["poem"]["status"]["phase"] == "Completed"
    assert FINALIZER not in world.objects["poem"]["metadata"]["finalizers"]
    assert (world.submissions, list(world.tasks)) == ([key], [key])


async def test_a_task_that_has_ended_since_the_backup_shows_its_end_at_once(world: World) -> None:
    key = await submit(world)
    restore(world, "poem")
    world.end(key)
    later = Crew(world)
    later.see_all()
    await later.reconcile_all()

    assert world.objects["poem"]["status"]["phase"] == "Completed"
    assert len(later.register) == 0
    assert world.submissions == [key]


async def test_an_object_that_was_about_to_be_submitted_is_submitted_once(world: World) -> None:
    world.unavailable = PAUSED
    due = (NOW - timedelta(minutes=5)).isoformat()
    key = await submit(world, runAt=due)
    assert world.tasks == {}

    restore(world, "poem")["metadata"]["creationTimestamp"] = NOW.isoformat()
    world.unavailable = None
    await Crew(world).go_round()
    restore(world, "poem")
    await Crew(world).go_round()

    assert (world.submissions, list(world.tasks)) == ([key], [key])
    assert "run_at" not in world.bodies[0], "its due time was in time when the object was created"


async def test_a_restored_object_that_is_deleted_takes_its_task_with_it(world: World) -> None:
    key = await submit(world)
    restore(world, "poem")
    world.ask_to_delete("poem")
    later = Crew(world)
    await later.go_round()

    assert world.objects == {}
    assert world.tasks[key].status is TaskStatus.CANCELLED


async def test_the_survey_knows_a_restored_object_by_its_key(world: World) -> None:
    world.add("song")
    crew = Crew(world)
    await crew.shifts.begin_all(["team"])
    world.add("poem")
    await crew.go_round()
    key = world.key_of("poem")
    restore(world, "poem")
    crew.clock.advance(3_600)

    await crew.survey.check_all()

    assert world.tasks[key].status is TaskStatus.QUEUED


@pytest.mark.parametrize(
    "text",
    [
        "?",
        '{"uid":"u","namespace":"team","name":"poem","spec_hash":"x"}',
        '{"uid":"00000000-0000-4000-8000-000000000009","namespace":"team","name":"poem","spec_hash":"x"}',
    ],
)
async def test_an_edited_key_is_no_key(world: World, text: str) -> None:
    body = world.add("poem")
    body["metadata"]["annotations"] = {KEY_ANNOTATION: text}

    await Crew(world).go_round()

    assert world.submissions == [world.key_of("poem")]
    assert world.key_of("poem") in world.objects["poem"]["metadata"]["annotations"][KEY_ANNOTATION]


async def test_an_operator_that_saw_the_first_object_go_leaves_the_task_to_the_restored_one(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    key = world.key_of("poem")
    crew.mark_missing(key)
    restore(world, "poem")

    await crew.go_round(2)

    assert world.tasks[key].status is TaskStatus.QUEUED
    assert world.objects["poem"]["status"]["phase"] == "Queued"
    world.end(key)
    await crew.go_round(2)
    assert world.objects["poem"]["status"]["phase"] == "Completed"
