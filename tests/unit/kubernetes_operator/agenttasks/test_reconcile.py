"""The steps of the reconciler: submissions, cancels and deletions, also while the API does not answer."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from agent_operator.agenttasks.reconcile import DELETION_WAIT_SECONDS, LATE_SECONDS
from agent_operator.agenttasks.register import FINALIZER, FINISHED_LABEL
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.kube.cluster import Cluster
from agent_operator.kube.events import EventRecorder
from agent_operator.kube.leases import Leases
from agent_operator.rest.rest_client import RestRefused, RestUnavailable
from app.domain.task import TaskStatus
from app.settings import StoreSettings
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import NAMESPACE, NAMESPACE_UID, FakeCluster, FakeRest, World

UNAVAILABLE = RestUnavailable("API_UNREACHABLE", "The API does not answer.", retry_seconds=5, uncertain=True)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the reasons of the events that the operator emits."""
    reasons: list[str] = []
    monkeypatch.setattr(EventRecorder, "emit", lambda *_, reason, **__: reasons.append(reason))
    return reasons


def interfere(monkeypatch: pytest.MonkeyPatch, after_submission: Callable[[str], Awaitable[None]]) -> None:
    """Calls `after_submission` with the task's key, before the operator has the answer to its submission."""
    submit = FakeRest.submit

    async def submit_late(self: FakeRest, body: Mapping[str, Any], *, tenant: str, key: str) -> str:
        task_id = await submit(self, body, tenant=tenant, key=key)
        await after_submission(key)
        return task_id

    monkeypatch.setattr(FakeRest, "submit", submit_late)


async def test_a_submission_has_its_event_even_if_the_feed_shows_its_task_first(
    world: World, emitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("poem")
    crew = Crew(world)

    async def mirror(key: str) -> None:
        crew.mirror.record(world.tasks[key])
        await crew.mirror._write(key)

    interfere(monkeypatch, mirror)
    await crew.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Queued"
    assert emitted == ["Submitted"]


async def test_an_object_that_went_while_it_was_submitted_has_no_event(
    world: World, emitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("poem")
    crew = Crew(world)

    async def lose_the_object(_: str) -> None:
        world.objects.clear()

    interfere(monkeypatch, lose_the_object)
    crew.see_all()
    await crew.reconcile_all()

    assert len(world.submissions) == 1
    assert emitted == []


async def test_an_object_that_vanishes_takes_its_task_with_it(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    gone = world.key_of("poem")
    del world.objects["poem"]
    crew.mark_missing(gone)

    await crew.reconcile_all()

    assert world.tasks[gone].status is TaskStatus.CANCELLED
    assert len(crew.register) == 0


async def test_deletion_waits_for_the_api_and_then_goes_without_it(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world.ask_to_delete("poem")
    world.unavailable = UNAVAILABLE
    crew.see_all()

    await crew.reconcile_all()
    assert FINALIZER in world.objects["poem"]["metadata"]["finalizers"]
    crew.clock.advance(DELETION_WAIT_SECONDS + 1)
    await crew.reconcile_all()
    assert world.objects == {}

    world.unavailable = None
    crew.clock.advance(600)
    await crew.survey.check_all()
    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]


async def test_during_an_outage_of_the_api_each_status_is_written_once(world: World) -> None:
    for number in range(3):
        world.add(f"poem-{number}")
    world.unavailable = UNAVAILABLE
    crew = Crew(world)
    crew.see_all()
    await crew.reconcile_all()
    versions = [body["metadata"]["resourceVersion"] for body in world.objects.values()]
    await crew.reconcile_all()

    assert {body["status"]["phase"] for body in world.objects.values()} == {"Pending"}
    assert [body["metadata"]["resourceVersion"] for body in world.objects.values()] == versions


async def submit_without_success(world: World, unavailable: RestUnavailable = UNAVAILABLE) -> Crew:
    """Returns an operator that has submitted a new object without success; the API answers again."""
    world.add("poem")
    world.unavailable = unavailable
    crew = Crew(world)
    crew.see_all()
    await crew.reconcile_all()
    world.unavailable = None
    return crew


async def test_a_submission_that_arrives_after_its_cancel_is_cancelled(world: World) -> None:
    crew = await submit_without_success(world)
    world.change("poem", cancel=True)
    await crew.go_round()
    assert world.objects["poem"]["status"]["phase"] == "Pending"
    world.arrive(world.objects["poem"])

    await crew.go_round(2)

    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]
    assert world.objects["poem"]["status"]["phase"] == "Cancelled"
    assert "taskId" in world.objects["poem"]["status"]


async def test_a_submission_that_never_arrives_holds_up_its_cancel_for_a_while_only(world: World) -> None:
    crew = await submit_without_success(world)
    world.change("poem", cancel=True)
    await crew.go_round()
    assert world.objects["poem"]["status"]["phase"] == "Pending"
    crew.clock.advance(LATE_SECONDS)

    await crew.go_round()

    assert world.tasks == {}
    assert world.objects["poem"]["status"]["phase"] == "Cancelled"


def test_a_late_submission_has_had_its_ten_waits_for_the_database_before_a_deletion_gives_up() -> None:
    assert 10 * StoreSettings().timeout_seconds < LATE_SECONDS < DELETION_WAIT_SECONDS


async def test_a_submission_that_was_surely_not_taken_holds_up_no_cancel(world: World) -> None:
    crew = await submit_without_success(world, RestUnavailable("INTAKE_PAUSED", "Not now.", retry_seconds=5))
    world.change("poem", cancel=True)

    await crew.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Cancelled"


async def test_a_submission_that_arrives_during_a_deletion_is_cancelled(world: World) -> None:
    crew = await submit_without_success(world)
    world.ask_to_delete("poem")
    await crew.go_round()
    world.arrive(world.objects["poem"])

    await crew.go_round(2)

    assert world.objects == {}
    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]


async def test_a_submission_that_arrives_after_its_object_has_gone_is_cancelled(world: World) -> None:
    crew = await submit_without_success(world)
    crew.mark_missing(world.key_of("poem"))
    gone = world.objects.pop("poem")
    await crew.reconcile_all()
    world.arrive(gone)

    await crew.reconcile_all()

    assert [task.status for task in world.tasks.values()] == [TaskStatus.CANCELLED]
    assert len(crew.register) == 0


async def test_a_refusal_counts_only_when_no_earlier_submission_can_arrive(world: World) -> None:
    crew = await submit_without_success(
        world, RestUnavailable("HTTP_502", "Bad Gateway", retry_seconds=0, uncertain=True)
    )
    world.refusal = RestRefused("UNKNOWN_AGENT", "There is no such agent.")
    crew.clock.advance(LATE_SECONDS - 1)
    await crew.go_round()
    assert world.objects["poem"]["status"]["phase"] == "Pending"
    assert not crew.reconciler.backpressure._active  # an API that refuses is available: no object waits for it
    crew.clock.advance(1)

    await crew.go_round()

    assert world.objects["poem"]["status"]["phase"] == "Failed"


@pytest.mark.parametrize(
    ("run_at", "sent"),
    [
        ("2019-01-01T00:00:00Z", True),  # had passed before the object was created: a mistake
        ("2025-12-31T23:30:00Z", False),  # came while the API was away, or the object was suspended
        ("2026-06-01T12:00:00+02:00", True),
    ],
)
async def test_a_due_time_that_has_come_meanwhile_is_left_out(world: World, run_at: str, sent: bool) -> None:
    body = world.add("poem", runAt=run_at)
    body["metadata"]["creationTimestamp"] = "2025-12-31T23:00:00Z"
    crew = Crew(world)

    await crew.go_round()

    (submitted,) = world.bodies
    assert ("run_at" in submitted) is sent


async def test_an_object_that_the_api_never_takes_holds_up_no_other(world: World) -> None:
    bad = [world.add(f"bad-{number}", task="bad") for number in range(4)]
    good = [world.add(f"good-{number}") for number in range(2)]
    world.never_taken = "bad"
    crew = Crew(world)

    for _ in range(12):
        await crew.go_round()
        crew.clock.advance(1)

    assert {body["metadata"]["uid"] for body in good} <= set(world.tasks)
    assert not {body["metadata"]["uid"] for body in bad} & set(world.tasks)


@pytest.mark.parametrize(
    ("object_stays", "task_stays"),
    [(3_600, 3_600 + 604_800), (0, 604_800), (31_536_000, 31_536_000), (-1, None)],
)
async def test_the_api_keeps_a_task_longer_than_kubernetes_its_object(
    world: World, object_stays: int, task_stays: int | None
) -> None:
    world.add("poem", ttlSecondsAfterFinished=object_stays)

    await Crew(world).go_round()

    (submitted,) = world.bodies
    assert submitted.get("ttl_seconds") == task_stays


async def test_without_a_finalizer_a_deletion_waits_for_nobody_and_cancels_the_task(world: World) -> None:
    world.add("poem")
    crew = Crew(world, finalizer=False)
    await crew.go_round()
    key = world.key_of("poem")
    assert "finalizers" not in world.objects["poem"]["metadata"]

    world.ask_to_delete("poem")
    assert world.objects == {}
    crew.mark_missing(key)
    await crew.reconcile_all()

    assert world.tasks[key].status is TaskStatus.CANCELLED


@pytest.mark.parametrize("spec", [{}, {"suspend": True}])
async def test_a_finalizer_from_before_the_setting_is_removed(world: World, spec: dict[str, Any]) -> None:
    world.add("poem", **spec)
    world.objects["poem"]["metadata"]["finalizers"] = ["others.example.com/keep", FINALIZER]

    await Crew(world, finalizer=False).go_round()

    assert world.objects["poem"]["metadata"]["finalizers"] == ["others.example.com/keep"]


@pytest.mark.parametrize("first", ["rights", "lease", "lease_and_rights", "namespace"])
async def test_an_object_goes_with_its_namespace_and_the_right_to_read_there(world: World, first: str) -> None:
    """Deletes a namespace, which takes objects, Lease and rights with it in no fixed order."""
    world.add("poem")
    crew = Crew(world, finalizer=False)
    await crew.shifts.begin_all([NAMESPACE])
    await crew.go_round()
    key = world.key_of("poem")
    world.ask_to_delete("poem")
    world.terminating.add(NAMESPACE)
    if "lease" in first:
        world.leases.clear()
    if "rights" in first:
        world.forbidden.add(NAMESPACE)
    if first == "namespace":
        world.leases.clear()
        world.namespace_uids.clear()
    crew.see_deleted(key)
    crew.clock.advance(60)

    await crew.reconcile_all()

    assert world.tasks[key].status is TaskStatus.CANCELLED
    assert len(crew.register) == 0


@pytest.mark.parametrize("change", ["no_deletion_seen", "another_namespace", "the_namespace_stays"])
async def test_without_its_lease_an_object_that_vanishes_in_another_way_keeps_its_task(
    world: World, change: str
) -> None:
    world.add("poem")
    crew = Crew(world, finalizer=False)
    await crew.shifts.begin_all([NAMESPACE])
    await crew.go_round()
    key = world.key_of("poem")
    world.ask_to_delete("poem")
    world.leases.clear()
    if change != "the_namespace_stays":
        world.terminating.add(NAMESPACE)
    if change == "another_namespace":
        world.namespace_uids[NAMESPACE] = NAMESPACE_UID.replace("1", "2")
    if change == "no_deletion_seen":
        crew.mark_missing(key)
    else:
        crew.see_deleted(key)
    crew.clock.advance(60)

    await crew.reconcile_all()

    assert world.tasks[key].status is TaskStatus.QUEUED
    assert len(crew.register) == 1, "it is tried again"


@pytest.mark.parametrize(("seen", "end"), [(True, TaskStatus.CANCELLED), (False, TaskStatus.QUEUED)])
async def test_after_its_lease_was_deleted_only_a_deletion_that_was_seen_cancels(
    world: World, *, seen: bool, end: TaskStatus
) -> None:
    """Checks the other cause of a missing Lease: an etcd restored from before the Lease was made."""
    world.add("poem")
    crew = Crew(world, finalizer=False)
    await crew.shifts.begin_all([NAMESPACE])
    await crew.go_round()
    key = world.key_of("poem")
    world.leases.clear()
    crew.clock.advance(60)
    await crew.shifts.renew(NAMESPACE)
    world.ask_to_delete("poem")
    (crew.see_deleted if seen else crew.mark_missing)(key)

    await crew.reconcile_all()

    assert world.tasks[key].status is end
    assert len(crew.register) == 0


async def test_an_object_of_another_releases_namespace_is_left_to_it(world: World) -> None:
    world.add("poem")
    world.add("song")["metadata"]["labels"] = {FINISHED_LABEL: "true"}
    crew = Crew(world)
    other = Shifts(Leases(cast("Cluster", FakeCluster(world)), "other"), crew.clock)
    await other.begin_all([NAMESPACE])
    await crew.shifts.begin_all([])
    before = copy.deepcopy(world.objects)

    await crew.go_round()
    await crew.survey.check_all()
    await crew.go_round()

    assert world.submissions == []
    assert world.objects == before
    assert len(crew.register) == 0
