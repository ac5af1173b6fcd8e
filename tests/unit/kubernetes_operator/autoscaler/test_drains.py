"""The drains of workers: leases, proofs of idleness, and workers that restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from agent_operator.autoscaler.drains import LEASE_SECONDS, RENEW_SECONDS, Drains
from agent_operator.autoscaler.fleet import Pod
from agent_operator.rest.rest_client import RestClient
from app.domain.worker_state import WorkerPresence
from tests.support.doubles import ManualClock, presence

POD = Pod("a", ready=True, started=True, cheap=False)


class Calls:
    """A double of `RestClient` that keeps the calls."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    async def drain(self, worker_id: str, *, seconds: int) -> None:
        self.made.append(("drain", worker_id))

    async def undrain(self, worker_id: str) -> None:
        self.made.append(("undrain", worker_id))


def drains_of(calls: Calls, clock: ManualClock) -> Drains:
    return Drains(cast("RestClient", calls), clock)


def later(seen: WorkerPresence, **changes: Any) -> dict[str, WorkerPresence]:
    return {"a": replace(seen, at=seen.at + timedelta(seconds=2), **changes)}


async def test_only_a_presence_after_the_drain_proves_that_the_worker_is_idle() -> None:
    drains, seen = drains_of(Calls(), ManualClock()), presence(draining=True)
    await drains.begin([POD], {"a": seen}, 1)

    assert drains.proven_idle({"a": seen}) == []
    assert drains.proven_idle(later(seen, running=("t",))) == []
    assert drains.proven_idle(later(seen)) == ["a"]


async def test_a_lease_is_renewed_in_time_and_not_more_often() -> None:
    calls, clock, seen = Calls(), ManualClock(), presence()
    drains = drains_of(calls, clock)
    await drains.begin([POD], {"a": seen}, 1)

    clock.advance(RENEW_SECONDS - 1)
    await drains.refresh([POD], {"a": seen})
    assert len(calls.made) == 1
    clock.advance(1)
    await drains.refresh([POD], {"a": seen})
    assert calls.made == [("drain", "w1")] * 2
    clock.advance(LEASE_SECONDS / 2)
    assert not drains.are_fresh(["a"])


async def test_a_worker_that_has_restarted_in_its_pod_is_drained_again() -> None:
    calls, seen = Calls(), presence()
    drains = drains_of(calls, ManualClock())
    await drains.begin([POD], {"a": seen}, 1)

    await drains.refresh([POD], later(seen, worker_id="w2"))
    await drains.end("a")

    assert calls.made == [("drain", "w1"), ("drain", "w2"), ("undrain", "w2")]
    assert len(drains) == 0
