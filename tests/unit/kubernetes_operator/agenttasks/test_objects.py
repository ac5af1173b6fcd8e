"""The writes to AgentTasks: conflicts with other writers, and objects that have made way for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from agent_operator.agenttasks.objects import CONFLICT_TRIES, AgentTasks
from agent_operator.agenttasks.register import FINALIZER, FINISHED_LABEL, Entry, Register
from agent_operator.kube.cluster import Cluster, HasChanged, NotThere
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import FakeCluster, World


def objects_of(world: World) -> AgentTasks:
    return AgentTasks(cast("Cluster", FakeCluster(world)))


def entry_of(world: World, name: str) -> Entry:
    entry = Register(ManualClock()).record(world.objects[name])
    assert entry is not None
    return entry


async def test_a_finalizer_that_another_controller_has_added_meanwhile_stays(world: World) -> None:
    metadata = world.add("poem")["metadata"]
    entry = entry_of(world, "poem")
    world.change("poem")
    metadata["finalizers"] = ["example.com/theirs"]

    await objects_of(world).protect(entry)

    assert world.objects["poem"]["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]
    entry.status = {"phase": "Completed"}
    await objects_of(world).release(entry, finished=True)
    metadata = world.objects["poem"]["metadata"]
    assert (metadata["finalizers"], metadata["labels"]) == (["example.com/theirs"], {FINISHED_LABEL: "true"})


async def test_a_write_to_an_object_that_was_created_again_is_refused(world: World) -> None:
    world.add("poem")
    entry = entry_of(world, "poem")
    world.add("poem")

    with pytest.raises(NotThere):
        await objects_of(world).protect(entry)
    with pytest.raises(HasChanged):
        await objects_of(world).write_status(entry, {"phase": "Queued"})


async def test_a_change_gives_up_when_the_object_changes_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("poem")
    tries = 0

    async def conflict(_: FakeCluster, __: str, ___: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        raise HasChanged("Conflict", "resourceVersion")

    monkeypatch.setattr(FakeCluster, "patch", conflict)
    with pytest.raises(HasChanged, match=f"changed {CONFLICT_TRIES} times"):
        await objects_of(world).protect(entry_of(world, "poem"))
    assert tries == CONFLICT_TRIES
