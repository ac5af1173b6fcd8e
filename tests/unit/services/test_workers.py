"""Drain leases of workers that are present."""

from __future__ import annotations

import pytest

from app.errors import WorkerNotFound
from app.services.workers import WorkerService
from tests.support.doubles import MemoryDrains, MemoryQueue, presence


async def test_a_present_worker_is_drained_and_undrained() -> None:
    queue, drains = MemoryQueue(), MemoryDrains()
    queue.workers = [presence()]
    service = WorkerService(queue, drains)

    await service.drain("w1", seconds=60)
    assert await drains.holds("w1")
    await service.undrain("w1")

    assert not await drains.holds("w1")


async def test_a_worker_that_is_not_present_cannot_be_drained() -> None:
    service = WorkerService(MemoryQueue(), MemoryDrains())

    with pytest.raises(WorkerNotFound, match="no worker w1"):
        await service.drain("w1", seconds=60)
    with pytest.raises(WorkerNotFound, match="no worker w1"):
        await service.undrain("w1")
