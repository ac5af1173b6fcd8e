"""The reconcile loop: the fault of one object, and the end of the work."""

from __future__ import annotations

import asyncio
from typing import cast

from agent_operator.agenttasks.reconcile import Reconciler
from agent_operator.agenttasks.reconcile_loop import ReconcileLoop
from agent_operator.agenttasks.register import Entry, Register
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.health.pulse import Pulse
from app.telemetry.metrics import OperatorMetrics
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import World


class Steps:
    """A double of `Reconciler`: it fails on the first object, and waits on the others until `go_on` is set."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.finished: list[str] = []

    async def reconcile(self, entry: Entry) -> None:
        self.begun.put_nowait(entry.name)
        if entry.name == "first":
            raise ValueError("a fault of this object")
        await self.go_on.wait()
        self.finished.append(entry.name)


def loop_of(world: World, steps: Steps) -> tuple[ReconcileLoop, WorkQueue, Register]:
    clock, work = ManualClock(), WorkQueue()
    register = Register(clock)
    for body in world.objects.values():
        register.record(body)
        work.add(body["metadata"]["uid"])
    metrics = OperatorMetrics(version="test").agenttasks
    loop = ReconcileLoop(cast("Reconciler", steps), register, work, metrics=metrics, pulse=Pulse(clock))
    return loop, work, register


async def test_a_fault_in_one_object_stops_no_other_and_close_waits_for_the_work(world: World) -> None:
    world.add("first")
    world.add("second")
    steps = Steps()
    loop, work, register = loop_of(world, steps)
    running = asyncio.create_task(loop.run())
    try:
        assert [await steps.begun.get(), await steps.begun.get()] == ["first", "second"]
        assert [entry.failures for entry in register] == [1, 0]

        closing = asyncio.create_task(loop.close(grace_seconds=10))
        await asyncio.sleep(0)  # lets the closing begin: there is no event to wait for
        work.add("later")
        assert not closing.done()
        steps.go_on.set()
        await closing
        assert (steps.finished, len(work)) == (["second"], 0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_close_waits_no_longer_than_it_may(world: World) -> None:
    world.add("second")
    steps = Steps()
    loop, *_ = loop_of(world, steps)
    running = asyncio.create_task(loop.run())
    try:
        await steps.begun.get()
        await loop.close(grace_seconds=0.01)
        assert steps.finished == []
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
