"""The states of tasks in the statuses of objects, and tasks that the API no longer knows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from agent_operator.agenttasks.register import FINISHED_LABEL
from agent_operator.agenttasks.status import Condition, condition_of
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import FakeCluster, World


async def test_a_task_that_the_api_forgot_is_lost_after_three_misses_and_never_run_again(world: World) -> None:
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


async def test_misses_within_minutes_are_no_loss(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    found = dict(world.tasks)
    world.tasks.clear()
    await crew.go_round(5)

    world.tasks.update(found)
    world.end(world.key_of("poem"))
    await crew.go_round(2)

    assert world.objects["poem"]["status"]["phase"] == "Completed"


async def test_an_operator_that_is_given_another_name_for_the_cluster_goes_on_with_the_tasks(world: World) -> None:
    world.add("poem")
    await Crew(world).go_round()
    world.end(world.key_of("poem"))

    await Crew(world, cluster="renamed").go_round()

    assert world.objects["poem"]["status"]["phase"] == "Completed"
    assert not world.objects["poem"]["metadata"]["finalizers"]


async def test_an_erased_task_is_lost_at_once(world: World) -> None:
    world.add("poem")
    crew = Crew(world)
    await crew.go_round()
    world._move(world.key_of("poem"), erased=True)

    await crew.go_round(2)

    assert world.objects["poem"]["status"]["error"]["type"] == "TASK_LOST"


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
    world.end(world.key_of("poem"))
    writing = asyncio.create_task(crew.mirror.write())
    try:
        assert await beats.get() == "mirror_writes"
        await crew.mirror.check_all()
        assert await beats.get() == "resync"
        await hangs.wait()
        crew.mirror.beat_if_idle()
        assert beats.empty()
        goes_on.set()
        assert await beats.get() == "mirror_writes"
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
