"""The shifts on namespaces: which release serves one, and which tasks are of its objects."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent_operator.agenttasks.restart import RestartNeeded
from agent_operator.agenttasks.shifts import CONFIRMED_SECONDS, MARGIN, MOST_SHIFTS, RETRY_SECONDS, Shifts
from agent_operator.kube.cluster import Cluster, ClusterError, ClusterUnavailable
from agent_operator.kube.leases import READS_WITHOUT_RENEWAL, RENEW_SECONDS, Leases
from agent_operator.rest.task_state import TaskSource, TaskState
from app.domain.task import TaskStatus
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import NAMESPACE, NAMESPACE_UID, FakeCluster, World


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def operator_of(world: World, clock: ManualClock, identity: str = "ours") -> Shifts:
    """Makes a new process of this release."""
    return Shifts(Leases(cast("Cluster", FakeCluster(world)), identity), clock)


def submitted(shifts: Shifts, clock: ManualClock) -> TaskState:
    """Returns the task that a submission of now makes."""
    source = TaskSource(cluster="here", namespace=NAMESPACE, name="poem", uid="u", **shifts.source_of(NAMESPACE))
    return TaskState(
        task_id="t", tenant=NAMESPACE, rev=1, status=TaskStatus.QUEUED, source=source, queued_at=clock.now()
    )


async def test_a_namespace_that_another_release_holds_is_not_served(world: World, clock: ManualClock) -> None:
    assert await operator_of(world, clock, "first").begin_all([NAMESPACE]) == (NAMESPACE,)
    second = operator_of(world, clock, "second")

    assert await second.begin_all([NAMESPACE]) == ()
    assert second.foreign[NAMESPACE].holder == "first"
    assert second.source_of(NAMESPACE) == {}


async def test_it_is_taken_over_when_its_lease_has_run_out(world: World, clock: ManualClock) -> None:
    first, second = operator_of(world, clock, "first"), operator_of(world, clock, "second")
    await first.begin_all([NAMESPACE])
    await second.begin_all([NAMESPACE])
    for _ in range(READS_WITHOUT_RENEWAL):
        clock.advance(RENEW_SECONDS)
        await first.renew(NAMESPACE)
        await second.renew(NAMESPACE)
    assert NAMESPACE in second.foreign, "it was renewed between any two reads"

    for _ in range(READS_WITHOUT_RENEWAL - 2):
        clock.advance(RENEW_SECONDS)
        await second.renew(NAMESPACE)
        await second.renew(NAMESPACE)  # too soon after the last read to prove anything
    clock.advance(RENEW_SECONDS)
    with pytest.raises(RestartNeeded, match="namespace_is_free"):
        await second.renew(NAMESPACE)

    assert await operator_of(world, clock, "second").begin_all([NAMESPACE]) == (NAMESPACE,)
    with pytest.raises(RestartNeeded, match="namespace_held_by_another"):
        await first.renew(NAMESPACE)


async def test_the_next_process_of_the_release_serves_it_at_once(world: World, clock: ManualClock) -> None:
    await operator_of(world, clock).begin_all([NAMESPACE])

    assert await operator_of(world, clock).begin_all([NAMESPACE]) == (NAMESPACE,)


async def test_an_operator_without_the_rights_serves_the_namespace_and_tells_it_once(
    world: World, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    log = SimpleNamespace(warning=lambda event, **_: logged.append(event))
    monkeypatch.setattr("agent_operator.agenttasks.shifts._log", log)
    world.forbidden.add(NAMESPACE)
    shifts = operator_of(world, clock)

    assert await shifts.begin_all([NAMESPACE]) == (NAMESPACE,)
    await shifts.renew(NAMESPACE)

    assert logged == ["namespace_not_leased"]
    assert not shifts.covers(submitted(shifts, clock))
    assert not await shifts.confirm(NAMESPACE)
    world.forbidden.clear()
    await shifts.renew(NAMESPACE)
    assert shifts.covers(submitted(shifts, clock))


async def test_a_task_belongs_to_the_shift_of_its_process_until_its_last_renewal(
    world: World, clock: ManualClock
) -> None:
    first = operator_of(world, clock)
    await first.begin_all([NAMESPACE])
    early = submitted(first, clock)
    clock.advance(MARGIN.total_seconds() + 1)
    await first.renew(NAMESPACE)
    late = submitted(first, clock)
    second = operator_of(world, clock)
    await second.begin_all([NAMESPACE])

    assert [first.covers(task) for task in (early, late)] == [True, True]
    assert [second.covers(task) for task in (early, late)] == [True, False]
    assert not first.covers(submitted(second, clock)), "the first process has not read the shift of the next"


async def test_tasks_without_a_shift_or_of_another_namespace_are_not_covered(world: World, clock: ManualClock) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    task = submitted(shifts, clock)
    assert shifts.covers(task)

    for change in ({"namespace_uid": None}, {"shift": None}, {"namespace_uid": "x"}, {"namespace": "other"}):
        other = task.model_copy(update={"source": task.source.model_copy(update=change)})
        assert not shifts.covers(other), change


async def test_a_lease_that_a_backup_brought_into_a_new_namespace_brings_no_shifts(
    world: World, clock: ManualClock
) -> None:
    first = operator_of(world, clock)
    await first.begin_all([NAMESPACE])
    task = submitted(first, clock)
    clock.advance(3_600)
    await first.renew(NAMESPACE)

    world.namespace_uids[NAMESPACE] = NAMESPACE_UID.replace("1", "2")
    second = operator_of(world, clock)
    await second.begin_all([NAMESPACE])

    assert not second.covers(task)


async def test_after_a_restore_of_etcd_tasks_newer_than_the_snapshot_are_not_covered(
    world: World, clock: ManualClock
) -> None:
    first = operator_of(world, clock)
    await first.begin_all([NAMESPACE])
    before = submitted(first, clock)
    clock.advance(3_600)
    await first.renew(NAMESPACE)
    snapshot = copy.deepcopy(world.leases)
    clock.advance(RENEW_SECONDS)
    await first.renew(NAMESPACE)
    after = submitted(first, clock)
    clock.advance(3_600)

    world.leases = snapshot
    restored = operator_of(world, clock)
    await restored.begin_all([NAMESPACE])
    clock.advance(3_600)
    await restored.renew(NAMESPACE)

    assert [restored.covers(task) for task in (before, after)] == [True, False]
    later = operator_of(world, clock)
    await later.begin_all([NAMESPACE])
    assert not later.covers(after), "a further start changes nothing"


async def test_a_process_that_lives_through_a_restore_of_etcd_cancels_nothing_and_starts_again(
    world: World, clock: ManualClock
) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    snapshot = copy.deepcopy(world.leases)
    clock.advance(RENEW_SECONDS)
    await shifts.renew(NAMESPACE)
    assert await shifts.confirm(NAMESPACE)

    world.leases = snapshot
    clock.advance(CONFIRMED_SECONDS)
    with pytest.raises(ClusterUnavailable):
        await shifts.confirm(NAMESPACE)
    with pytest.raises(RestartNeeded, match="etcd_was_restored"):
        await shifts.renew(NAMESPACE)


async def test_a_namespace_that_was_created_again_ends_the_shift(world: World, clock: ManualClock) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    world.leases.clear()
    world.namespace_uids[NAMESPACE] = NAMESPACE_UID.replace("1", "2")
    clock.advance(CONFIRMED_SECONDS)

    with pytest.raises(ClusterUnavailable):
        await shifts.confirm(NAMESPACE)
    with pytest.raises(RestartNeeded, match="lease_is_gone"):
        await shifts.renew(NAMESPACE)


async def test_a_lease_that_was_deleted_is_made_again_with_a_new_shift(world: World, clock: ManualClock) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    before, known = submitted(shifts, clock), clock.monotonic()
    world.leases.clear()
    clock.advance(RENEW_SECONDS)
    with pytest.raises(ClusterUnavailable):
        await shifts.confirm(NAMESPACE)

    await shifts.renew(NAMESPACE)

    assert await shifts.confirm(NAMESPACE)
    assert [shifts.covers(task) for task in (before, submitted(shifts, clock))] == [False, True]
    assert [shifts.resumed_since(NAMESPACE, moment) for moment in (known, clock.monotonic())] == [True, False]
    clock.advance(RENEW_SECONDS)
    await shifts.renew(NAMESPACE)


async def test_a_namespace_that_is_being_deleted_gets_no_lease_and_ends_nothing(
    world: World, clock: ManualClock
) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    world.leases.clear()
    world.terminating.add(NAMESPACE)
    clock.advance(RENEW_SECONDS)

    with pytest.raises(ClusterUnavailable, match="is being deleted"):
        await shifts.renew(NAMESPACE)
    assert world.leases == {}


@pytest.mark.parametrize(
    "denial",
    [ClusterError("BadRequest", "a webhook denies it"), ClusterUnavailable("InternalError", "a webhook hangs")],
)
async def test_a_namespace_whose_lease_is_denied_does_not_stop_the_others(
    world: World, clock: ManualClock, denial: ClusterError
) -> None:
    world.namespace_uids["other"] = NAMESPACE_UID.replace("1", "3")
    world.failing[f"put {NAMESPACE}"] = denial
    shifts = operator_of(world, clock)

    assert await shifts.begin_all([NAMESPACE, "other"]) == (NAMESPACE, "other")

    assert list(world.leases) == ["other"]
    assert not await shifts.confirm(NAMESPACE)
    world.failing.clear()
    await shifts.renew(NAMESPACE)
    assert await shifts.confirm(NAMESPACE)


async def test_two_processes_of_one_release_do_not_disturb_each_other(world: World, clock: ManualClock) -> None:
    first, second = operator_of(world, clock), operator_of(world, clock)
    await first.begin_all([NAMESPACE])
    await second.begin_all([NAMESPACE])
    for _ in range(3):
        clock.advance(RENEW_SECONDS)
        await first.renew(NAMESPACE)
        await second.renew(NAMESPACE)

    assert first.covers(submitted(first, clock))
    assert second.covers(submitted(second, clock))


async def test_a_clock_that_is_set_back_is_no_restore(world: World, clock: ManualClock) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    clock.advance(-timedelta(hours=2).total_seconds())
    other = operator_of(world, clock)
    await other.begin_all([NAMESPACE])

    for _ in range(3):
        await shifts.renew(NAMESPACE)
        await other.renew(NAMESPACE)


async def test_the_lease_lists_the_last_shifts_only(world: World, clock: ManualClock) -> None:
    for _ in range(MOST_SHIFTS + 5):
        await operator_of(world, clock).begin_all([NAMESPACE])

    (lease,) = world.leases.values()
    (note,) = lease["metadata"]["annotations"].values()
    assert note.count("renewed_at") == MOST_SHIFTS + 1


async def begin_long_shift(world: World, clock: ManualClock) -> Shifts:
    """Returns a process whose shift lasted long enough to cover the tasks of its first moment."""
    shifts = operator_of(world, clock)
    await shifts.begin_all([NAMESPACE])
    clock.advance(MARGIN.total_seconds() + 1)
    await shifts.renew(NAMESPACE)
    return shifts


async def test_starts_of_a_crash_loop_do_not_push_out_the_shift_before(world: World, clock: ManualClock) -> None:
    before = operator_of(world, clock)
    await before.begin_all([NAMESPACE])
    task = submitted(before, clock)
    clock.advance(MARGIN.total_seconds() + 1)
    await before.renew(NAMESPACE)

    for _ in range(MOST_SHIFTS + 5):
        clock.advance(RENEW_SECONDS)
        last = operator_of(world, clock)
        await last.begin_all([NAMESPACE])

    assert last.covers(task)


async def test_tasks_of_a_shift_that_the_lease_no_longer_lists_are_not_covered(
    world: World, clock: ManualClock
) -> None:
    first = operator_of(world, clock)
    await first.begin_all([NAMESPACE])
    task = submitted(first, clock)
    clock.advance(MARGIN.total_seconds() + 1)
    await first.renew(NAMESPACE)
    for _ in range(MOST_SHIFTS - 1):
        last = await begin_long_shift(world, clock)
    assert last.covers(task)

    for _ in range(2):
        last = await begin_long_shift(world, clock)

    assert not last.covers(task)
    assert first.covers(task), "it has not read the Lease since"
    with pytest.raises(RestartNeeded, match="shift_is_not_listed"):
        await first.renew(NAMESPACE)


async def test_a_shift_of_an_earlier_version_is_listed_on(world: World, clock: ManualClock) -> None:
    before = await begin_long_shift(world, clock)
    (lease,) = world.leases.values()
    annotations = lease["metadata"]["annotations"]
    for name, note in annotations.items():
        record = json.loads(note)
        for shift in record["shifts"]:
            del shift["began_at"]
        annotations[name] = json.dumps(record)
    after = operator_of(world, clock)
    await after.begin_all([NAMESPACE])

    clock.advance(RENEW_SECONDS)
    await after.renew(NAMESPACE)

    assert before.source_of(NAMESPACE)["shift"] in str(world.leases)


async def test_of_all_namespaces_each_is_leased_at_its_first_object(world: World, clock: ManualClock) -> None:
    shifts = operator_of(world, clock)
    assert await shifts.begin_all([]) == ()
    assert world.leases == {}

    assert await asyncio.gather(*(shifts.may_serve(NAMESPACE) for _ in range(3))) == [True] * 3

    assert list(world.leases) == [NAMESPACE]
    assert str(world.leases).count("began_at") == 1, "one shift, however many objects came at once"
    assert shifts.covers(submitted(shifts, clock))
    assert shifts.namespaces == (NAMESPACE,)


async def test_of_all_namespaces_those_of_other_releases_are_not_served(world: World, clock: ManualClock) -> None:
    await operator_of(world, clock, "first").begin_all([NAMESPACE])
    shifts = operator_of(world, clock, "second")
    await shifts.begin_all([])

    assert not await shifts.may_serve(NAMESPACE)

    for _ in range(READS_WITHOUT_RENEWAL - 2):
        clock.advance(RENEW_SECONDS)
        await shifts.renew(NAMESPACE)
    clock.advance(RENEW_SECONDS)
    with pytest.raises(RestartNeeded, match="namespace_is_free"):
        await shifts.renew(NAMESPACE)


async def test_of_all_namespaces_one_that_is_gone_is_forgotten(world: World, clock: ManualClock) -> None:
    shifts = operator_of(world, clock)
    await shifts.begin_all([])
    await shifts.may_serve(NAMESPACE)
    world.leases.clear()
    del world.namespace_uids[NAMESPACE]
    clock.advance(RENEW_SECONDS)

    await shifts.renew(NAMESPACE)

    assert shifts.namespaces == ()
    world.namespace_uids[NAMESPACE] = NAMESPACE_UID
    assert await shifts.may_serve(NAMESPACE)
    assert list(world.leases) == [NAMESPACE]


async def everywhere(world: World, clock: ManualClock, identity: str = "ours") -> Shifts:
    """Returns a process of a release that serves all namespaces."""
    shifts = operator_of(world, clock, identity)
    await shifts.begin_all([])
    return shifts


def delete_namespace(world: World) -> None:
    world.leases.clear()
    del world.namespace_uids[NAMESPACE]


async def create_again(world: World, clock: ManualClock, *, holder: str) -> None:
    """Creates the namespace anew; this release takes its Lease first."""
    world.namespace_uids[NAMESPACE] = NAMESPACE_UID.replace("1", "2")
    world.forbidden.clear()
    await operator_of(world, clock, holder).begin_all([NAMESPACE])


async def test_of_all_namespaces_a_foreign_one_that_is_gone_is_forgotten(world: World, clock: ManualClock) -> None:
    await operator_of(world, clock, "first").begin_all([NAMESPACE])
    shifts = await everywhere(world, clock, "second")
    assert not await shifts.may_serve(NAMESPACE)
    delete_namespace(world)

    await shifts.renew(NAMESPACE)  # no restart: nothing has become free

    assert (shifts.namespaces, shifts.foreign) == ((), {})
    await create_again(world, clock, holder="second")
    assert await shifts.may_serve(NAMESPACE)


async def test_of_all_namespaces_a_refused_one_that_is_gone_is_forgotten(world: World, clock: ManualClock) -> None:
    world.forbidden.add(NAMESPACE)
    shifts = await everywhere(world, clock)
    assert await shifts.may_serve(NAMESPACE)
    assert NAMESPACE in shifts.namespaces, "renewals try again to take its Lease"
    world.forbidden.clear()
    delete_namespace(world)

    await shifts.renew(NAMESPACE)

    assert shifts.namespaces == ()


@pytest.mark.parametrize("gone_at_first", [True, False])
async def test_a_namespace_created_again_that_another_release_holds_is_not_served(
    world: World, clock: ManualClock, gone_at_first: bool
) -> None:
    shifts = await everywhere(world, clock)
    if gone_at_first:
        delete_namespace(world)
    else:
        world.forbidden.add(NAMESPACE)
    assert await shifts.may_serve(NAMESPACE), "the tasks of objects that are gone are cancelled"
    assert (NAMESPACE in shifts.namespaces) != gone_at_first
    clock.advance(RETRY_SECONDS)
    await create_again(world, clock, holder="first")

    assert not await shifts.may_serve(NAMESPACE)
    await shifts.renew(NAMESPACE)
    assert shifts.foreign[NAMESPACE].holder == "first"


async def test_of_all_namespaces_one_that_was_refused_is_leased_at_its_next_object(
    world: World, clock: ManualClock
) -> None:
    world.failing[f"put {NAMESPACE}"] = ClusterUnavailable("InternalError", "a webhook hangs")
    shifts = await everywhere(world, clock)
    assert await shifts.may_serve(NAMESPACE)
    assert world.leases == {}
    world.failing.clear()
    assert await shifts.may_serve(NAMESPACE)
    assert world.leases == {}, "objects that come at once share one try"
    clock.advance(RETRY_SECONDS)

    assert await shifts.may_serve(NAMESPACE)

    assert await shifts.confirm(NAMESPACE)
    assert shifts.namespaces == (NAMESPACE,)


async def test_of_all_namespaces_one_whose_lease_cannot_be_read_is_tried_again(
    world: World, clock: ManualClock
) -> None:
    world.failing[f"get {NAMESPACE}"] = ClusterUnavailable("Unreachable", "no answer")
    shifts = await everywhere(world, clock)
    with pytest.raises(ClusterUnavailable):
        await shifts.may_serve(NAMESPACE)
    assert shifts.namespaces == ()
    world.failing.clear()

    assert await shifts.may_serve(NAMESPACE)

    assert list(world.leases) == [NAMESPACE]


class HangingCluster(FakeCluster):
    """A cluster whose webhook lets each try to create a Lease in NAMESPACE hang until `released`."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.hanging, self.released = asyncio.Event(), asyncio.Event()

    async def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if f"/{NAMESPACE}/" in path:
            self.hanging.set()
            await self.released.wait()
        return await super().put(path, body)


@pytest.mark.parametrize("by_renewal", [False, True])
async def test_a_webhook_that_hangs_in_one_namespace_does_not_hold_up_another(
    world: World, clock: ManualClock, by_renewal: bool
) -> None:
    world.namespace_uids["other"] = NAMESPACE_UID.replace("1", "3")
    cluster = HangingCluster(world)
    shifts = Shifts(Leases(cast("Cluster", cluster), "ours"), clock)
    await shifts.begin_all([])
    hanging = asyncio.ensure_future(shifts.renew(NAMESPACE) if by_renewal else shifts.may_serve(NAMESPACE))

    async with asyncio.timeout(5):
        await cluster.hanging.wait()
        assert await shifts.may_serve("other")
        assert list(world.leases) == ["other"]
        cluster.released.set()
        await hanging

    assert shifts.namespaces == ("other", NAMESPACE)


async def test_objects_do_not_try_a_refused_lease_more_often_than_the_renewals(
    world: World, clock: ManualClock
) -> None:
    world.failing[f"put {NAMESPACE}"] = ClusterUnavailable("InternalError", "a webhook hangs")
    shifts = await everywhere(world, clock)
    await shifts.may_serve(NAMESPACE)
    world.failing.clear()
    clock.advance(RENEW_SECONDS - 1)

    assert await shifts.may_serve(NAMESPACE)
    assert world.leases == {}
    await shifts.renew(NAMESPACE)
    assert list(world.leases) == [NAMESPACE]
