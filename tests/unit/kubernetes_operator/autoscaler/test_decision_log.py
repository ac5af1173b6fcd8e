"""The delivery of the autoscaler's decisions: in order, and also after an outage of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from agent_operator.autoscaler.decide import Plan, Reason, WorkerCount
from agent_operator.autoscaler.decision_log import MOST_WAITING, REPEAT_SECONDS, DecisionLog
from agent_operator.rest.rest_client import RestClient, RestError, RestRefused, RestUnavailable
from tests.support.doubles import ManualClock

UNAVAILABLE = RestUnavailable("API_UNREACHABLE", "unavailable", retry_seconds=0)
REFUSED = RestRefused("VALIDATION_FAILED", "refused")


@dataclass
class FakeApi:
    """An API that answers with these failures first, and sets `all_received` when it has accepted the last decision."""

    last: int
    failures: list[RestError] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    all_received: asyncio.Event = field(default_factory=asyncio.Event)

    async def record_decision(self, decision: Mapping[str, Any]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.received.append(decision["staying"])
        if decision["staying"] == self.last:
            self.all_received.set()


def decisions(api: FakeApi, clock: ManualClock) -> DecisionLog:
    return DecisionLog(cast("RestClient", api), clock, "agents/worker")


def record(kept: DecisionLog, staying: int) -> None:
    kept.record(Plan(staying, Reason.BACKLOG, "because"), WorkerCount(replicas=1, slots_per_pod=4), None)


async def deliver(kept: DecisionLog, api: FakeApi) -> list[int]:
    delivering = asyncio.create_task(kept.deliver())
    async with asyncio.timeout(10):
        await api.all_received.wait()
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    return api.received


@pytest.mark.parametrize(
    ("failures", "received"),
    [([UNAVAILABLE, UNAVAILABLE], [1, 2, 3]), ([REFUSED], [2, 3]), ([], [1, 2, 3])],
    ids=["unavailable", "refused", ""],
)
async def test_decisions_wait_for_an_api_that_is_unavailable_and_not_for_one_that_refuses(
    failures: list[RestError], received: list[int]
) -> None:
    api = FakeApi(last=3, failures=list(failures))
    kept = decisions(api, ManualClock())
    for staying in (1, 2, 3):
        record(kept, staying)

    assert await deliver(kept, api) == received


async def test_the_oldest_of_more_decisions_than_the_api_keeps_are_left_out() -> None:
    api = FakeApi(last=MOST_WAITING + 4)
    kept = decisions(api, ManualClock())
    for staying in range(MOST_WAITING + 5):
        record(kept, staying)

    assert await deliver(kept, api) == list(range(5, MOST_WAITING + 5))


async def test_the_same_decision_is_sent_again_only_after_a_while() -> None:
    clock, api = ManualClock(), FakeApi(last=2)
    kept = decisions(api, clock)
    record(kept, 1)
    record(kept, 1)
    clock.advance(REPEAT_SECONDS)
    record(kept, 1)
    record(kept, 2)

    assert await deliver(kept, api) == [1, 1, 2]
