"""The fair choice of the tasks to release next: pure decisions, no I/O.

The next free slot goes to the tenant that holds the fewest slots for its weight. So ten thousand tasks of one tenant do
not make another tenant's single task wait for more than one slot. Within a tenant priority decides, then age. A tenant
at its limit is passed over. Only one of the tasks that crashed their worker twice runs at a time, over all tenants: a
task that kills its worker then takes none of the others with it.
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
    """Waiting tasks of each tenant in their order, and apart from them the quarantined ones, oldest first."""

    by_tenant: dict[Tenant, deque[WaitingTask]] = field(default_factory=dict)
    quarantined: deque[WaitingTask] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return any(self.by_tenant.values()) or bool(self.quarantined)

    def contested(self, policy_of: Callable[[Tenant], TenantPolicy]) -> bool:
        """Returns whether the choice depends on the number of slots that each tenant holds already."""
        if len(self.by_tenant) > 1 or self.quarantined:
            return True
        return any(policy_of(tenant).max_running is not None for tenant in self.by_tenant)


def choose(
    candidates: Candidates, in_flight: InFlight, *, room: int, policy_of: Callable[[Tenant], TenantPolicy]
) -> Sequence[WaitingTask]:
    """Takes up to `room` tasks out of the candidates and returns them in the order in which to send them."""
    held = dict(in_flight.by_tenant)
    chosen: list[WaitingTask] = []
    if room > 0 and in_flight.quarantined == 0:
        chosen += _take_quarantined(candidates.quarantined, held, policy_of)
    queue = [_turn(tenant, held, policy_of) for tenant, tasks in candidates.by_tenant.items() if tasks]
    heapq.heapify(queue)
    while queue and len(chosen) < room:
        _, tenant = heapq.heappop(queue)
        if _full(tenant, held, policy_of):
            continue  # and not pushed again: within one call a tenant's number of slots only grows
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
