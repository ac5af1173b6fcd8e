"""The fair choice of the tasks to release next: pure decisions, no I/O.

The next free slot goes to the tenant that holds the fewest slots for its weight, and among equals to the one that was
served longest ago. So ten thousand tasks of one tenant do not make another tenant's single task wait for more than one
slot. Within a tenant priority decides, then age. A tenant at its limit is passed over.

Tasks that crashed their worker twice are suspects. Only a small group of them is in flight at once, over all tenants,
so that one that kills its worker takes few of the others with it. After a crash the next groups are smaller. At last
each suspect runs without another one, and a crash then has one cause.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.fairness import InFlight, TenantPolicy, most_suspects
from app.domain.identity import Tenant
from app.ports import WaitingTask

PolicyOf = Callable[[Tenant], TenantPolicy]
ByTenant = dict[Tenant, deque[WaitingTask]]


@dataclass
class Turns:
    """The order in which tenants were served last, which decides between tenants that hold equally much."""

    policy_of: PolicyOf
    served: dict[Tenant, int] = field(default_factory=dict)
    _number: int = 0

    def record(self, tenant: Tenant) -> None:
        self._number += 1
        self.served[tenant] = self._number

    def of(self, tenant: Tenant, held: Mapping[Tenant, int]) -> tuple[float, int, Tenant]:
        """Builds a key for sorting: the tenant with the smallest one is next."""
        return held.get(tenant, 0) / self.policy_of(tenant).weight, self.served.get(tenant, 0), tenant

    def full(self, tenant: Tenant, held: Mapping[Tenant, int]) -> bool:
        limit = self.policy_of(tenant).max_running
        return limit is not None and held.get(tenant, 0) >= limit

    def next(self, tenants: Iterable[Tenant], held: Mapping[Tenant, int], number: int) -> Sequence[Tenant]:
        """Returns the `number` tenants that are next, without those at their limit."""
        free = (tenant for tenant in tenants if not self.full(tenant, held))
        return heapq.nsmallest(number, free, key=lambda tenant: self.of(tenant, held))

    def forget_all_but(self, tenants: Iterable[Tenant]) -> None:
        """Forgets tenants without waiting tasks, so that the memory does not grow with every tenant there ever was."""
        known = set(tenants)
        self.served = {tenant: number for tenant, number in self.served.items() if tenant in known}


def choose(
    ready: ByTenant, suspects: ByTenant, in_flight: InFlight, *, room: int, slots: int, turns: Turns
) -> Sequence[WaitingTask]:
    """Takes up to `room` tasks out of both and returns them in the order in which to send them.

    `slots` is the number of all slots of the workers. The suspects with the most shared crashes go first.
    """
    held = dict(in_flight.by_tenant)
    free = {tenant: tasks for tenant, tasks in suspects.items() if not turns.full(tenant, held)}
    worst = max((task.shared_crashes for tasks in free.values() for task in tasks), default=0)
    most = most_suspects(slots, max(worst, in_flight.suspicion)) - in_flight.suspects
    chosen = _serve(_with_most_crashes(free, worst), held, min(room, most), turns)
    for task in chosen:
        suspects[task.tenant].remove(task)
    return [*chosen, *_serve(ready, held, room - len(chosen), turns)]


def _with_most_crashes(suspects: ByTenant, worst: int) -> ByTenant:
    alike = {
        tenant: deque(task for task in tasks if task.shared_crashes == worst) for tenant, tasks in suspects.items()
    }
    return {tenant: tasks for tenant, tasks in alike.items() if tasks}


def _serve(waiting: ByTenant, held: dict[Tenant, int], number: int, turns: Turns) -> list[WaitingTask]:
    chosen: list[WaitingTask] = []
    queue = [turns.of(tenant, held) for tenant, tasks in waiting.items() if tasks]
    heapq.heapify(queue)
    while queue and len(chosen) < number:
        *_, tenant = heapq.heappop(queue)
        if turns.full(tenant, held):
            continue  # and not pushed again: within one call a tenant's number of slots only grows
        tasks = waiting[tenant]
        chosen.append(tasks.popleft())
        held[tenant] = held.get(tenant, 0) + 1
        turns.record(tenant)
        if tasks:
            heapq.heappush(queue, turns.of(tenant, held))
    return chosen
