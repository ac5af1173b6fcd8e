"""What the operator's duties do where a real server would make a test wait for minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from agent_operator.agenttasks.reconcile import LATE_SECONDS
from agent_operator.agenttasks.register import FINALIZER, FINISHED_LABEL, Register
from agent_operator.agenttasks.status import Condition, condition_of
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.rest_client import OrchestratorAway, OrchestratorRefused
from app.domain.task import TaskStatus
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import NOW, FakeCluster, FakeOrchestrator, World

AWAY = OrchestratorAway("API_UNREACHABLE", "The API does not answer.", retry_seconds=5, uncertain=True)


@pytest.fixture
def world() -> World:
    return World()


def key_of(world: World, name: str) -> str:
    return str(world.objects[name]["metadata"]["uid"])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Reasons of the events that are told."""
    reasons: list[str] = []
    monkeypatch.setattr(EventRecorder, "tell", lambda *_, reason, **__: reasons.append(reason))
    return reasons


def interfere(monkeypatch: pytest.MonkeyPatch, after_submission: Callable[[str], Awaitable[None]]) -> None:
    """Has this happen, with the key of the task, before the operator hears that it was accepted."""
    submit = FakeOrchestrator.submit

    async def submit_late(self: FakeOrchestrator, body: Mapping[str, Any], *, tenant: str, key: str) -> str:
        task_id = await submit(self, body, tenant=tenant, key=key)
        await after_submission(key)
        return task_id

    monkeypatch.setattr(FakeOrchestrator, "submit", submit_late)


async def test_a_submission_is_told_also_where_the_feed_shows_its_task_first(
    world: World, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("poem")
    crew = Crew(world)

    async def mirror(key: str) -> None:
        crew.mirror.notice(world.tasks[key])
        await crew.mirror._write(key)

    interfere(monkeypatch, mirror)
    await crew.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Queued"
    assert told == ["Submitted"]


async def test_nothing_is_told_of_an_object_that_went_while_it_was_submitted(
    world: World, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("poem")
    crew = Crew(world)

    async def lose_the_object(_: str) -> None:
        world.objects.clear()

    interfere(monkeypatch, lose_the_object)
    crew.see_all()
    await crew.reconcile_all()

    assert len(world.submissions) == 1
    assert told == []


async def test_a_task_that_the_api_forgot_is_lost_after_three_looks_and_never_run_again(world: World) -> None:
    world.add("poem")
    crew = Crew(world, lost_after_seconds=0)
    await crew.go_round()
    world.tasks.clear()

    await crew.go_round(2)
    assert world.objects["poem"]["status"]["phase"] == "Queued"
    await crew.go_round(2)

    status = world.objects["poem"]["status"]
    succeeded = condition_of(status, Condition.SUCCEEDED)
    assert succeeded is not None
    assert (status["phase"], succeeded["reason"], len(world.submissions)) == ("Failed", "TaskLost", 1)
    assert FINISHED_LABEL in world.objects["poem"]["metadata"]["labels"]


async def test_looks_in_vain_within_minutes_are_no_loss(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    found = dict(world.tasks)
    world.tasks.clear()
    await crew.go_round(5)

    world.tasks.update(found)
    world.end(key_of(world, "poem"))
    await crew.go_round(2)

    assert world.objects["poem"]["status"]["phase"] == "Completed"


async def test_an_operator_that_is_given_another_name_for_the_cluster_goes_on_with_the_tasks(world: World) -> None:
    world.add("poem")
    await Crew(world).go_round()
    world.end(key_of(world, "poem"))

    await Crew(world, cluster="renamed").go_round()

    assert world.objects["poem"]["status"]["phase"] == "Completed"
    assert not world.objects["poem"]["metadata"]["finalizers"]


async def test_an_erased_task_is_lost_at_once(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world._move(key_of(world, "poem"), erased=True)

    await crew.go_round(2)

    assert world.objects["poem"]["status"]["error"]["type"] == "TASK_LOST"


async def test_the_survey_cancels_tasks_whose_object_is_gone(world: World) -> None:
    world.add("poem")
    world.add("song")
    crew = Crew(world)
    await crew.go_round()
    gone = key_of(world, "poem")
    del world.objects["poem"]  # somebody took the finalizer away

    crew.clock.time = NOW + timedelta(minutes=10)
    await crew.survey.look_at_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED
    assert world.tasks[key_of(world, "song")].status is TaskStatus.QUEUED


async def test_the_survey_leaves_young_tasks_alone(world: World) -> None:
    """Their objects may be newer than its list."""
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    gone = key_of(world, "poem")
    del world.objects["poem"]

    await crew.survey.look_at_all()

    assert world.tasks[gone].status is TaskStatus.QUEUED


async def test_an_object_that_vanishes_takes_its_task_with_it(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    gone = key_of(world, "poem")
    del world.objects["poem"]
    crew.miss(gone)

    await crew.reconcile_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED
    assert len(crew.register) == 0


async def test_the_survey_finds_an_object_that_was_labelled_by_hand(world: World) -> None:
    world.add("poem")["metadata"]["labels"] = {FINISHED_LABEL: "true"}
    crew = Crew(world)
    await crew.go_round()
    assert world.submissions == []

    await crew.survey.look_at_all()
    await crew.reconcile_all()

    assert FINISHED_LABEL not in world.objects["poem"]["metadata"]["labels"]
    assert len(world.submissions) == 1


async def test_a_status_that_was_edited_by_hand_is_put_right(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world.objects["poem"]["status"]["attempts"] = 99

    await crew.survey.look_at_all()
    await crew.mirror_all()

    assert world.objects["poem"]["status"]["attempts"] == 0


async def test_an_object_is_deleted_when_its_time_is_over_and_not_before(world: World) -> None:
    world.add("poem", ttlSecondsAfterFinished=60)
    crew = Crew(world)
    await crew.go_round()
    world.end(key_of(world, "poem"))
    await crew.go_round(2)

    crew.clock.time = NOW + timedelta(seconds=59)
    assert not await crew.expiry.delete_next()
    crew.clock.time = NOW + timedelta(seconds=60)
    assert await crew.expiry.delete_next()

    assert world.objects == {}


async def test_another_operator_deletes_what_ended_before_it_came(world: World) -> None:
    world.add("poem", ttlSecondsAfterFinished=60)
    crew = Crew(world)
    await crew.go_round()
    world.end(key_of(world, "poem"))
    await crew.go_round(2)

    later = Crew(world)
    later.clock.time = NOW + timedelta(minutes=2)
    await later.survey.look_at_all()

    assert await later.expiry.delete_next()
    assert world.objects == {}


async def test_deletion_waits_for_the_api_and_then_goes_without_it(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world.ask_to_delete("poem")
    world.away = AWAY
    crew.see_all()

    await crew.reconcile_all()
    assert FINALIZER in world.objects["poem"]["metadata"]["finalizers"]
    crew.clock.time = NOW + timedelta(seconds=61)
    await crew.reconcile_all()
    assert world.objects == {}

    world.away = None
    crew.clock.time = NOW + timedelta(minutes=10)
    await crew.survey.look_at_all()
    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]


async def test_while_the_api_is_away_each_object_says_so_once(world: World) -> None:
    for number in range(3):
        world.add(f"poem-{number}")
    world.away = AWAY
    crew = Crew(world)
    crew.see_all()
    await crew.reconcile_all()
    versions = [body["metadata"]["resourceVersion"] for body in world.objects.values()]
    await crew.reconcile_all()

    assert {body["status"]["phase"] for body in world.objects.values()} == {"Pending"}
    assert [body["metadata"]["resourceVersion"] for body in world.objects.values()] == versions


async def test_texts_that_do_not_fit_are_read_again_when_their_turn_comes(world: World) -> None:
    world.add("long", task="x" * 10_000)
    crew = Crew(world, register=Register(held_bytes=5_000))
    crew.see_all()
    (entry,) = crew.register
    assert entry.spec is None

    await crew.reconcile_all()

    assert len(world.submissions) == 1
    assert world.objects["long"]["status"]["phase"] == "Queued"


async def submit_in_vain(world: World, away: OrchestratorAway = AWAY) -> Crew:
    """An operator that has handed in a new object without success; the API answers again."""
    world.add("poem")
    world.away = away
    crew = Crew(world)
    crew.see_all()
    await crew.reconcile_all()
    world.away = None
    return crew


async def test_a_submission_that_arrives_after_its_cancel_is_cancelled(world: World) -> None:
    crew = await submit_in_vain(world)
    world.change("poem", cancel=True)
    await crew.go_round()
    assert world.objects["poem"]["status"]["phase"] == "Pending"
    world.arrive(world.objects["poem"])

    await crew.go_round(2)

    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]
    assert world.objects["poem"]["status"]["phase"] == "Cancelled"
    assert "taskId" in world.objects["poem"]["status"]


async def test_a_submission_that_never_arrives_holds_up_its_cancel_for_a_while_only(world: World) -> None:
    crew = await submit_in_vain(world)
    world.change("poem", cancel=True)
    await crew.go_round()
    assert world.objects["poem"]["status"]["phase"] == "Pending"
    crew.clock.time = NOW + timedelta(seconds=LATE_SECONDS)

    await crew.go_round()

    assert world.tasks == {}
    assert world.objects["poem"]["status"]["phase"] == "Cancelled"


async def test_a_submission_that_was_surely_not_taken_holds_up_no_cancel(world: World) -> None:
    crew = await submit_in_vain(world, OrchestratorAway("INTAKE_PAUSED", "Not now.", retry_seconds=5))
    world.change("poem", cancel=True)

    await crew.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Cancelled"


async def test_a_submission_that_arrives_during_a_deletion_is_cancelled(world: World) -> None:
    crew = await submit_in_vain(world)
    world.ask_to_delete("poem")
    await crew.go_round()
    world.arrive(world.objects["poem"])

    await crew.go_round(2)

    assert world.objects == {}
    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]


async def test_a_submission_that_arrives_after_its_object_has_gone_is_cancelled(world: World) -> None:
    crew = await submit_in_vain(world)
    crew.miss(key_of(world, "poem"))
    gone = world.objects.pop("poem")
    await crew.reconcile_all()
    world.arrive(gone)

    await crew.reconcile_all()

    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]
    assert len(crew.register) == 0


async def test_a_refusal_counts_only_when_no_earlier_submission_can_arrive(world: World) -> None:
    crew = await submit_in_vain(world, OrchestratorAway("HTTP_502", "Bad Gateway", retry_seconds=0, uncertain=True))
    world.refusal = OrchestratorRefused("UNKNOWN_AGENT", "There is no such agent.")
    crew.clock.time = NOW + timedelta(seconds=LATE_SECONDS - 1)
    await crew.go_round()
    assert world.objects["poem"]["status"]["phase"] == "Pending"
    assert not crew.reconciler.gate._closed  # an API that refuses is there: nobody waits for it
    crew.clock.time = NOW + timedelta(seconds=LATE_SECONDS)

    await crew.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Failed"


@pytest.mark.parametrize("skew", [timedelta(hours=-2), timedelta(hours=2)], ids=["behind", "ahead"])
async def test_a_wrong_clock_cancels_nothing_and_moves_the_time_to_live_alone(world: World, skew: timedelta) -> None:
    world.add("poem", ttlSecondsAfterFinished=3_600)
    world.add("song")
    crew = Crew(world)
    crew.clock.time = NOW + skew
    await crew.go_round()
    await crew.survey.look_at_all()
    world.end(key_of(world, "poem"))
    await crew.go_round(2)
    await crew.survey.look_at_all()

    assert world.objects["poem"]["status"]["completionTime"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert world.objects["song"]["status"]["phase"] == "Queued"
    assert {task.status for task in world.tasks.values()} == {TaskStatus.COMPLETED, TaskStatus.QUEUED}
    assert await crew.expiry.delete_next() == (skew > timedelta(hours=1))


async def test_status_writes_that_hang_are_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    beats: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(crew.mirror.pulse, "beat", beats.put_nowait)
    hangs, goes_on = asyncio.Event(), asyncio.Event()
    patch = FakeCluster.patch

    async def hang(cluster: FakeCluster, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        hangs.set()
        await goes_on.wait()
        return await patch(cluster, path, change)

    monkeypatch.setattr(FakeCluster, "patch", hang)
    world.end(key_of(world, "poem"))
    writing = asyncio.create_task(crew.mirror.write())
    try:
        assert await beats.get() == "mirror_writes"
        await crew.mirror.look_at_all()
        assert await beats.get() == "resync"
        await hangs.wait()
        crew.mirror.beat_if_idle()
        assert beats.empty()
        goes_on.set()
        assert await beats.get() == "mirror_writes"
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
