"""The count of accepted tasks: none is lost while Redis is unavailable."""

from __future__ import annotations

from app.services.arrivals import Arrivals
from tests.support.doubles import MemoryQueue


async def test_tasks_that_redis_did_not_take_are_added_the_next_time() -> None:
    queue = MemoryQueue()
    arrivals = Arrivals(queue)
    arrivals.record_accepted()
    queue.down = True
    await arrivals.publish()
    arrivals.record_accepted()
    queue.down = False

    await arrivals.publish()
    await arrivals.publish()

    assert queue.arrived == 2
