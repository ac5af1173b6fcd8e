"""The survey: it finds what watch and feed have missed, and cancels only tasks whose object is gone."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from agent_operator.agenttasks.register import FINISHED_LABEL
from agent_operator.agenttasks.restart import RestartNeeded
from agent_operator.kube.cluster import ClusterUnavailable
from app.domain.task import TaskStatus
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import NAMESPACE, NAMESPACE_UID, NOW, World


async def test_the_survey_cancels_tasks_whose_object_is_gone(world: World) -> None:
    world.add("poem")
    world.add("song")
    crew = Crew(world)
    await crew.shifts.begin_all([NAMESPACE])
    await crew.go_round()
    gone = world.key_of("poem")
    del world.objects["poem"]  # a user has removed the finalizer

    crew.clock.advance(600)
    await crew.survey.check_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED
    assert world.tasks[world.key_of("song")].status is TaskStatus.QUEUED


async def test_a_namespace_that_cannot_be_listed_now_does_not_stop_the_survey_of_the_others(world: World) -> None:
    world.add("poem")
    world.add("song")
    world.failing["list broken"] = world.failing["list later"] = ClusterUnavailable("Unreachable", "cut off")
    crew = Crew(world, namespaces=("broken", NAMESPACE), waiting_for=("later",))
    await crew.shifts.begin_all([NAMESPACE])
    await crew.go_round()
    gone = world.key_of("poem")
    del world.objects["poem"]
    crew.clock.advance(600)

    await crew.survey.check_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED


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


async def run_later(world: World, clock: ManualClock, *, shifts: bool = True) -> Crew:
    """Runs the survey of another process, an hour later."""
    clock.advance(3_600)
    later = Crew(world, clock=clock)
    if shifts:
        await later.shifts.begin_all([NAMESPACE])
    await later.survey.check_all()
    return later


async def leave_an_orphan(world: World) -> tuple[str, ManualClock]:
    """Submits an object, and removes it while no operator runs. Returns its key and the clock."""
    world.add("poem")
    world.add("song")
    crew = Crew(world)
    await crew.shifts.begin_all([NAMESPACE])
    await crew.go_round()
    crew.clock.advance(3_600)
    await crew.shifts.renew(NAMESPACE)
    key = world.key_of("poem")
    del world.objects["poem"]
    return key, crew.clock


async def test_the_survey_of_the_next_process_cancels_tasks_whose_object_is_gone(world: World) -> None:
    key, clock = await leave_an_orphan(world)

    await run_later(world, clock)

    assert world.tasks[key].status is TaskStatus.CANCELLED


async def test_a_namespace_without_any_object_cancels_nothing(world: World) -> None:
    key, clock = await leave_an_orphan(world)
    world.objects.clear()

    await run_later(world, clock)

    assert world.tasks[key].status is TaskStatus.QUEUED


@pytest.mark.parametrize(
    "situation", ["another_cluster", "a_new_namespace", "an_older_snapshot", "no_rights", "an_older_operator"]
)
async def test_tasks_that_another_history_knows_are_never_cancelled(world: World, situation: str) -> None:
    """Two clusters of one name that share an API, a restored one, and those that cannot know."""
    key, clock = await leave_an_orphan(world)
    if situation == "another_cluster":
        world.leases.clear()
        world.namespace_uids[NAMESPACE] = NAMESPACE_UID.replace("1", "2")
    elif situation == "a_new_namespace":
        world.namespace_uids[NAMESPACE] = NAMESPACE_UID.replace("1", "2")
    elif situation == "an_older_snapshot":
        world.leases.clear()
    elif situation == "an_older_operator":
        task = world.tasks[key]
        known = task.source.model_copy(update={"namespace_uid": None, "shift": None})
        world.tasks[key] = task.model_copy(update={"source": known})

    await run_later(world, clock, shifts=situation != "no_rights")

    assert world.tasks[key].status is TaskStatus.QUEUED


async def test_two_operators_that_go_on_from_one_snapshot_cancel_nothing_of_each_other(world: World) -> None:
    """The old server still runs while another one was restored from its snapshot."""
    world.add("shared")
    old = Crew(world)
    await old.shifts.begin_all([NAMESPACE])
    await old.go_round()
    old_state = world.leases, world.objects
    new_state = copy.deepcopy(old_state)
    old.clock.advance(3_600)

    world.leases, world.objects = new_state
    new = Crew(world, clock=old.clock)
    await new.shifts.begin_all([NAMESPACE])
    world.add("theirs")
    await new.go_round()
    world.leases, world.objects = old_state
    await old.shifts.renew(NAMESPACE)
    world.add("ours")
    await old.go_round()
    assert len(world.tasks) == 3

    old.clock.advance(3_600)
    await old.survey.check_all()
    world.leases, world.objects = new_state
    await new.survey.check_all()

    assert {task.status for task in world.tasks.values()} == {TaskStatus.QUEUED}


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

    with pytest.raises(RestartNeeded, match="later"):
        await crew.survey.check_all()


async def test_an_orphan_is_found_among_all_namespaces_if_its_own_has_a_finished_object(world: World) -> None:
    world.add("poem")
    world.add("song")
    crew = Crew(world)
    await crew.shifts.begin_all([])
    await crew.go_round()
    gone = world.key_of("poem")
    del world.objects["poem"]
    world.end(world.key_of("song"))
    await crew.go_round(2)
    crew.clock.advance(600)
    await crew.shifts.renew(NAMESPACE)

    after = Crew(world, clock=crew.clock)
    await after.shifts.begin_all([])
    after.see_all()
    assert len(after.register) == 0, "the watch shows no object"
    await after.survey.check_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED
