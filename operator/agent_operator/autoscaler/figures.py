"""The figures in Redis about the queue, the models and the workers. This module only reads; the figures are recent, not
exact.

The age of the leader's figures follows from the time for which Redis still keeps them. So no clocks need to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from agent_operator.autoscaler.decide import Demand
from app.broker.channels import SNAPSHOT_KEY, SNAPSHOT_TTL_SECONDS
from app.broker.connections import redis_command
from app.broker.worker_presence import read_presences
from app.domain.worker_state import WorkerPresence


@dataclass(frozen=True)
class Figures:
    """The figures of one moment. `demand` is None if there is no leader, or one of another version."""

    demand: Demand | None
    presences: Sequence[WorkerPresence]


class FigureReader:
    """The reader of the figures. `tickets` is the Redis that has the list of tickets, `queue` the list's name."""

    def __init__(self, redis: Redis, tickets: Redis, *, queue: str) -> None:
        self._redis = redis
        self._tickets = tickets
        self.queue = queue

    async def read(self) -> Figures:
        """Reads the figures. Raises BrokerUnavailable."""
        presences = await read_presences(self._redis)
        async with redis_command("read the queue's figures"):
            snapshot = dict(await self._redis.execute_command("HGETALL", SNAPSHOT_KEY))
            left_seconds = int(await self._redis.execute_command("PTTL", SNAPSHOT_KEY)) / 1000
            listed = int(await self._tickets.execute_command("LLEN", self.queue))
        age_seconds = max(0.0, SNAPSHOT_TTL_SECONDS - left_seconds)
        return Figures(demand_in(snapshot, listed, presences, age_seconds=age_seconds), presences)


def demand_in(
    snapshot: Mapping[str, str], listed: int, presences: Sequence[WorkerPresence], *, age_seconds: float
) -> Demand | None:
    """Parses the leader's snapshot. Returns None if there is none, or one of a version that this one does not know."""
    # Reserved tickets have left the list and wait in a worker, so they count as backlog.
    reserved = sum(len(presence.reserved) for presence in presences)
    try:
        waiting = int(snapshot["waiting"])
        # A leader of version 0.1 does not publish which tasks may run.
        runnable = min(waiting, int(snapshot.get("runnable", waiting)))
        return Demand(
            backlog=runnable + listed + reserved,
            in_flight=sum(len(presence.running) + len(presence.lapsed) for presence in presences),
            oldest_age_seconds=float(snapshot.get("oldest_runnable_age_seconds", snapshot["oldest_age_seconds"])),
            arrival_rate=float(snapshot["arrival_rate"]),
            mean_service_seconds=float(snapshot["mean_service_seconds"]),
            rate_limited_share=float(snapshot["rate_limited_share"]),
            open_breakers=tuple(filter(None, snapshot["open_breakers"].split(","))),
            age_seconds=age_seconds,
            held_back=waiting - runnable,
        )
    except (KeyError, ValueError):
        return None
