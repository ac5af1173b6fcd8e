"""The lease clock: a stalled process starts no call, and an outage cancels no run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.domain.identity import ClaimId
from app.errors import ClaimLost, StoreUnavailable
from app.ports import Claim, Heartbeat
from tests.support.doubles import ManualClock
from tests.support.tasks import new_task
from worker.leases import HeldClaim, Interruption, LeaseKeeper

LEASE_SECONDS = 30.0


class HeartbeatStore:
    """The one method of the claim repository that the keeper uses."""

    def __init__(self) -> None:
        self.answer: Heartbeat | None = Heartbeat(lost=frozenset(), cancelled=frozenset())
        self.asked: list[Sequence[Claim]] = []

    async def heartbeat(self, claims: Sequence[Claim]) -> Heartbeat:
        self.asked.append(claims)
        if self.answer is None:
            raise StoreUnavailable("unavailable")
        return self.answer


class HeldClaimHarness:
    """One held claim, whose run ends when it is interrupted or cancelled."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = HeartbeatStore()
        self.keeper = LeaseKeeper(self.store, lease_seconds=LEASE_SECONDS, clock=self.clock)
        self.claim = Claim(task_id=new_task().id, claim_id=ClaimId("c1"), epoch=1)
        self.held: HeldClaim | None = None
        self.started = asyncio.Event()

    async def run(self) -> None:
        self.held = self.keeper.hold(self.claim, claimed_at=self.clock.monotonic())
        self.started.set()
        await asyncio.Event().wait()

    async def start(self) -> tuple[asyncio.Task[None], HeldClaim]:
        run = asyncio.create_task(self.run())
        await self.started.wait()
        assert self.held is not None
        return run, self.held


async def stopped(run: asyncio.Task[None]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_good_lease_lets_calls_begin() -> None:
    run, held = await HeldClaimHarness().start()

    await held.check()

    run.cancel()
    await stopped(run)


async def test_a_lapsed_lease_waits_for_the_databases_answer() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    harness.clock.advance(LEASE_SECONDS)
    checking = asyncio.create_task(held.check())
    _, waiting = await asyncio.wait({checking}, timeout=0)
    assert waiting == {checking}

    await harness.keeper.beat()

    await checking
    run.cancel()
    await stopped(run)


async def test_an_outage_cancels_nothing() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    harness.store.answer = None

    await harness.keeper.beat()

    assert held.interruption is None
    assert not run.done()
    run.cancel()
    await stopped(run)


async def test_a_lost_claim_stops_its_run_and_starts_no_call() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    harness.store.answer = Heartbeat(lost=frozenset({ClaimId("c1")}), cancelled=frozenset())

    await harness.keeper.beat()

    await stopped(run)
    with pytest.raises(ClaimLost):
        await held.check()


async def test_a_cancel_found_by_the_heartbeat_interrupts_the_run() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    harness.store.answer = Heartbeat(lost=frozenset(), cancelled=frozenset({ClaimId("c1")}))

    await harness.keeper.beat()

    assert held.interruption is Interruption.CANCELLED
    await stopped(run)


async def test_a_newer_claim_of_the_same_task_cancels_the_older_run_first() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    newer = Claim(task_id=harness.claim.task_id, claim_id=ClaimId("c2"), epoch=2)

    harness.keeper.hold(newer, claimed_at=harness.clock.monotonic())

    assert held.interruption is Interruption.LOST
    await stopped(run)


async def test_a_dropped_claim_is_not_renewed() -> None:
    harness = HeldClaimHarness()
    run, _ = await harness.start()
    harness.keeper.drop(harness.claim.claim_id)

    await harness.keeper.beat()

    assert harness.store.asked == []
    run.cancel()
    await stopped(run)


async def test_a_worker_that_stops_waits_for_a_silent_database_no_longer_than_its_leases_last() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    harness.store.answer = None
    harness.keeper.hand_back_all()

    await harness.keeper.beat()
    assert not run.cancelling()
    harness.clock.advance(LEASE_SECONDS)
    await harness.keeper.beat()

    assert held.interruption is Interruption.ABANDONED
    await stopped(run)


async def test_an_end_that_cannot_be_stored_is_abandoned_too() -> None:
    harness = HeldClaimHarness()
    run, held = await harness.start()
    held.interrupt(Interruption.CANCELLED)
    await stopped(run)

    held.interrupt(Interruption.ABANDONED)

    assert held.interruption is Interruption.ABANDONED
