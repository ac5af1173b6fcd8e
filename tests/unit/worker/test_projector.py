"""Projections that are under way when the worker ends are made before it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.domain.identity import TaskId
from tests.support.doubles import ManualClock
from worker.projector import Projector


class Projections:
    """Does not answer the first time."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.projected: list[TaskId] = []

    async def project(self, task_ids: Sequence[TaskId]) -> None:
        if not self.asked.is_set():
            self.asked.set()
            await asyncio.Event().wait()
        self.projected += task_ids


async def test_what_was_under_way_when_the_worker_was_ended_is_projected_by_the_last_flush() -> None:
    projections = Projections()
    projector = Projector(projections, busy=lambda: False, clock=ManualClock())
    projector.add(TaskId("a"))
    running = asyncio.create_task(projector.flush())
    await projections.asked.wait()
    projector.add(TaskId("b"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    await projector.flush()

    assert sorted(projections.projected) == ["a", "b"]
