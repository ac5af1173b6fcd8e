"""The claims that this process holds, and their leases.

The heartbeat renews all leases in one write every third of a lease. It runs on the event loop of the runs themselves,
so that a loop that stalls loses its leases. Between heartbeats a local clock decides: a claim whose lease has run out
starts no new call and waits for the next answer of the database. An outage of MongoDB cancels nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.identity import ClaimId
from app.errors import ClaimLost, DependencyError, StoreError
from app.ports import Claim, Clock, LeaseRenewer
from app.telemetry.logs import get_logger

_log = get_logger(__name__)


class Interruption(StrEnum):
    """The reason why a run was cancelled from outside."""

    LOST = "lost"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"  # the worker stops, and the database does not answer


@dataclass(eq=False)
class HeldClaim:
    """One claim under way. `renewed_at` is monotonic: the moment before the write that renewed it was sent."""

    claim: Claim
    run: asyncio.Task[None]
    renewed_at: float
    lease_seconds: float
    clock: Clock
    interruption: Interruption | None = None
    hand_back: bool = False
    _calls_refused: bool = False
    _answered: asyncio.Event = field(default_factory=asyncio.Event)

    def interrupt(self, reason: Interruption) -> None:
        """Stops the run at its next await. The first reason stays, except that ABANDONED replaces every other."""
        # A run that was cancelled or lost may still wait for the database to store its end; ABANDONED ends that wait.
        if self.interruption is None or (reason is Interruption.ABANDONED and self.interruption is not reason):
            self.interruption = reason
            self.run.cancel(reason.value)
            self._answered.set()

    def renew(self, at: float) -> None:
        """Moves the lease: it runs from `at`, the moment before the renewing write was sent."""
        self.renewed_at = at
        self._answered.set()

    def refuse_calls(self) -> None:
        """Refuses further calls: the run ends now, and its agent has not stopped yet."""
        self._calls_refused = True
        self._answered.set()

    @property
    def lapsed(self) -> bool:
        return self.clock.monotonic() - self.renewed_at >= self.lease_seconds

    async def check(self) -> None:
        """Returns at once if the lease is valid, else waits for a heartbeat's answer.

        Raises ClaimLost if the claim is lost, or the run is over.
        """
        # A process that was stopped and wakes up would pay for calls that another worker makes too.
        while self.lapsed and self.interruption is None and not self._calls_refused:
            self._answered.clear()
            await self._answered.wait()
        if self._calls_refused:
            raise ClaimLost(f"task {self.claim.task_id}: this run of it is over")
        if self.interruption in (Interruption.LOST, Interruption.ABANDONED):
            raise ClaimLost(f"task {self.claim.task_id}: another worker may own it")


class LeaseKeeper:
    """All claims of this process. Belongs to the event loop of the runs."""

    def __init__(self, claims: LeaseRenewer, *, lease_seconds: float, clock: Clock) -> None:
        self._claims = claims
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._held: dict[ClaimId, HeldClaim] = {}
        self.handing_back = False

    @property
    def held(self) -> Mapping[ClaimId, HeldClaim]:
        return self._held

    def hold(self, claim: Claim, *, claimed_at: float) -> HeldClaim:
        """Records the claim of the running asyncio task; cancels an older claim of the same task first."""
        # The reaper may have returned a task of ours to the queue, and its ticket may have come back to us, before a
        # heartbeat found the old claim lost: two runs of one task must not make calls side by side.
        self.interrupt_task(claim.task_id, Interruption.LOST)
        run = asyncio.current_task()
        if run is None:
            raise RuntimeError(f"hold the claim of task {claim.task_id} in the asyncio task that runs it")
        held = HeldClaim(
            claim=claim,
            run=run,
            renewed_at=claimed_at,
            lease_seconds=self._lease_seconds,
            clock=self._clock,
            hand_back=self.handing_back,  # claimed just before the worker was asked to hand back
        )
        self._held[claim.claim_id] = held
        return held

    def drop(self, claim_id: ClaimId) -> None:
        self._held.pop(claim_id, None)

    def interrupt_task(self, task_id: str, reason: Interruption) -> None:
        for held in [held for held in self._held.values() if held.claim.task_id == task_id]:
            held.interrupt(reason)

    def hand_back_all(self) -> None:
        """Asks every run, also those that begin later, to stop at its next node boundary."""
        self.handing_back = True
        for held in self._held.values():
            held.hand_back = True

    async def run(self) -> None:
        """Sends heartbeats until cancelled."""
        while True:
            # Two heartbeats in a row may fail before a lease runs out.
            await asyncio.sleep(self._lease_seconds / 3)
            await self.beat()

    async def beat(self) -> None:
        """Renews all leases once; interrupts runs that are lost or should be cancelled."""
        beating = dict(self._held)  # runs begin and end while the write is under way
        if not beating:
            return
        # Before the write: the database starts the new lease later, so the local clock ends it first.
        sent_at = self._clock.monotonic()
        try:
            answer = await self._claims.heartbeat([held.claim for held in beating.values()])
        except (DependencyError, StoreError) as error:
            _log.warning("heartbeat_failed", error_code=error.code, claims=len(beating))
            self._abandon_lapsed()
            return
        for claim_id, held in beating.items():
            if claim_id in answer.lost and claim_id in self._held:  # a run that has just ended is reported as lost too
                _log.warning("claim_lost", task_id=held.claim.task_id)
                held.interrupt(Interruption.LOST)
            elif claim_id in answer.cancelled:
                held.interrupt(Interruption.CANCELLED)
            else:
                held.renew(sent_at)

    def _abandon_lapsed(self) -> None:
        """Interrupts runs whose lease has run out, if the worker hands back: another worker may run them."""
        for held in list(self._held.values()) if self.handing_back else ():
            if held.lapsed:
                _log.warning("claim_abandoned", task_id=held.claim.task_id)
                held.interrupt(Interruption.ABANDONED)
