"""A presence distinguishes what runs, what has lapsed and what still waits; publications survive outages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from app.domain.agent import AgentCard
from app.domain.identity import ClaimId, TaskId
from app.errors import StoreUnavailable
from app.ports import Claim
from tests.support.doubles import IdleClaims, ManualClock, MemoryDrains
from worker.consumption import Consumption, PauseReason
from worker.draining import Draining
from worker.leases import LeaseKeeper
from worker.presence import AgentPublisher, EndPublisher, SelfReport
from worker.recent import RecentWork
from worker.vitals import Condition

LEASE_SECONDS = 30.0


class ReportHarness:
    """The report of a worker whose tickets, claims and drain a test sets."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fetched: set[TaskId] = set()
        self.leases = LeaseKeeper(IdleClaims(), lease_seconds=LEASE_SECONDS, clock=self.clock)
        self.consumption = Consumption()
        self.draining = Draining(
            MemoryDrains(),
            IdleClaims(),
            self.leases,
            self.consumption,
            worker_id="w1",
            fetched=lambda: self.fetched,
        )
        self.report = SelfReport(
            worker_id="w1",
            name="pod-1",
            slots=8,
            version="1",
            leases=self.leases,
            draining=self.draining,
            consumption=self.consumption,
            recent=RecentWork(self.clock),
            fetched=lambda: self.fetched,
            breakers=lambda: {"openai": "open"},
            condition=lambda: Condition.OK,
            memory_mb=lambda: 80.04,
        )

    def claim(self, name: str) -> None:
        self.fetched.add(TaskId(name))
        claim = Claim(task_id=TaskId(name), claim_id=ClaimId(f"claim of {name}"), epoch=1)
        self.leases.hold(claim, claimed_at=self.clock.monotonic())


async def test_a_presence_distinguishes_running_lapsed_and_reserved_tasks() -> None:
    harness = ReportHarness()
    harness.claim("lapsed")
    harness.clock.advance(LEASE_SECONDS)
    harness.claim("running")
    harness.fetched.add(TaskId("reserved"))

    presence = harness.report.build_presence(at=harness.clock.now(), loop_lag_ms=1.26)

    assert (presence.running, presence.lapsed, presence.reserved) == (("running",), ("lapsed",), ("reserved",))
    assert (presence.loop_lag_ms, presence.memory_mb, presence.breakers) == (1.3, 80.0, {"openai": "open"})


async def test_a_presence_reports_a_stop_and_a_pause() -> None:
    harness = ReportHarness()
    harness.consumption.block(PauseReason.STORE_UNAVAILABLE)
    harness.draining.stop()

    presence = harness.report.build_presence(at=harness.clock.now(), loop_lag_ms=0)

    assert (presence.draining, presence.paused) == (True, True)


class ShortlyUnavailableDirectory:
    """A directory that is unavailable the first time."""

    def __init__(self) -> None:
        self.published: list[Sequence[AgentCard]] = []
        self.asked = 0

    async def publish(self, cards: Sequence[AgentCard]) -> None:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("unavailable")
        self.published.append(cards)

    async def list_all(self) -> Sequence[AgentCard]:
        return []


async def test_agents_are_published_again_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.presence.PRESENCE_INTERVAL_SECONDS", 0)
    directory = ShortlyUnavailableDirectory()
    cards = [AgentCard(name="CodeAgent", agent_type="code", description="c", version="1")]
    publisher = AgentPublisher(directory, cards)
    assert not publisher.published.is_set()

    running = asyncio.create_task(publisher.run())
    async with asyncio.timeout(5):
        await publisher.published.wait()

    assert directory.published == [cards]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class HangingRedis:
    """A Redis that does not answer a publication."""

    def __init__(self) -> None:
        self.asked, self.cancelled = asyncio.Event(), asyncio.Event()

    async def publish(self, channel: str, text: str) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def test_ends_that_redis_does_not_take_do_not_outlive_the_publisher() -> None:
    redis = HangingRedis()
    ends = EndPublisher(cast("Any", redis))
    ends.publish(TaskId("t1"))
    await redis.asked.wait()

    await ends.close()

    assert redis.cancelled.is_set()
