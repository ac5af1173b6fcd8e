"""The part of the waiting tasks that may run: neither a tenant's limit nor the quarantine holds it back.

The autoscaler counts this part only. A worker for a task that may not run would be idle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.fairness import TenantPolicy, most_suspects
from app.domain.identity import Tenant
from app.ports import QueueCounts


@dataclass(frozen=True)
class Runnable:
    """The number of these tasks, and the seconds for which the oldest of them has waited."""

    number: int
    oldest_age_seconds: float


def runnable(counts: QueueCounts, policy_of: Callable[[Tenant], TenantPolicy], *, slots: int) -> Runnable:
    """Computes them; `slots` is the number of all slots of the workers."""
    in_flight = counts.in_flight
    number, oldest = 0, 0.0
    for tenant, waiting in counts.by_tenant.items():
        limit = policy_of(tenant).max_running
        may_run = waiting if limit is None else min(waiting, max(0, limit - in_flight.by_tenant.get(tenant, 0)))
        number += may_run
        # The age of a task that its tenant's limit holds back is no reason for another worker.
        if may_run == waiting:
            oldest = max(oldest, counts.oldest_by_tenant[tenant])
    suspects = most_suspects(slots, in_flight.suspicion) - in_flight.suspects
    return Runnable(number + max(0, min(counts.quarantined, suspects)), oldest)
