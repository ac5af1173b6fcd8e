"""Who is served next: pure decisions, no I/O.

The next free slot goes to the tenant that holds the fewest for its weight, so that ten thousand tasks of one tenant do
not make another's single task wait for more than a slot. Within a tenant: priority, then age. A tenant at its limit is
passed over. Of the tasks that crashed their worker twice one runs at a time, whoever owns it: a poisonous one then
takes no other of them with it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.fairness import InFlight, TenantPolicy
from app.domain.identity import Tenant
from app.ports import WaitingTask


@dataclass
class Candidates:
    """Waiting tasks in the order of their tenant, and apart from them the quarantined ones, oldest first."""

    by_tenant: dict[Tenant, deque[WaitingTask]] = field(default_factory=dict)
    quarantined: deque[WaitingTask] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return any(self.by_tenant.values()) or bool(self.quarantined)

    def contested(self, policy_of: Callable[[Tenant], TenantPolicy]) -> bool:
        """Whether it matters who holds how much already."""
        if len(self.by_tenant) > 1 or self.quarantined:
            return True
        return any(policy_of(tenant).max_running is not None for tenant in self.by_tenant)


def choose(
    candidates: Candidates, in_flight: InFlight, *, room: int, policy_of: Callable[[Tenant], TenantPolicy]
) -> Sequence[WaitingTask]:
    """Takes up to `room` tasks out of the candidates, in the order in which they are to be sent."""
    held = dict(in_flight.by_tenant)
    chosen: list[WaitingTask] = []
    if room > 0 and in_flight.quarantined == 0:
        chosen += _take_quarantined(candidates.quarantined, held, policy_of)
    queue = [_turn(tenant, held, policy_of) for tenant, tasks in candidates.by_tenant.items() if tasks]
    heapq.heapify(queue)
    while queue and len(chosen) < room:
        _, tenant = heapq.heappop(queue)
        if _full(tenant, held, policy_of):
            continue
        tasks = candidates.by_tenant[tenant]
        chosen.append(tasks.popleft())
        held[tenant] = held.get(tenant, 0) + 1
        if tasks:
            heapq.heappush(queue, _turn(tenant, held, policy_of))
    return chosen


def _take_quarantined(
    tasks: deque[WaitingTask], held: dict[Tenant, int], policy_of: Callable[[Tenant], TenantPolicy]
) -> list[WaitingTask]:
    for task in tasks:
        if not _full(task.tenant, held, policy_of):
            tasks.remove(task)
            held[task.tenant] = held.get(task.tenant, 0) + 1
            return [task]
    return []


def _turn(
    tenant: Tenant, held: Mapping[Tenant, int], policy_of: Callable[[Tenant], TenantPolicy]
) -> tuple[float, Tenant]:
    return held.get(tenant, 0) / policy_of(tenant).weight, tenant


def _full(tenant: Tenant, held: Mapping[Tenant, int], policy_of: Callable[[Tenant], TenantPolicy]) -> bool:
    limit = policy_of(tenant).max_running
    return limit is not None and held.get(tenant, 0) >= limit
