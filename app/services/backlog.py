"""The tasks that may be released next: the tenants that have some, and a short list of tasks of each that is next.

The tenants are read once a second, their tasks only when their turn comes. So the work of one round is bounded by the
free slots, however many tenants and tasks wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from app.domain.fairness import Lane
from app.domain.identity import Tenant
from app.ports import DispatchRepository
from app.services.fair_share import ByTenant, Turns

LISTED_TASKS = 500
SMALLEST_LIST = 8
# Tenants whose tasks one round reads. Rounds follow each other at once while tasks wait and slots are free.
TENANTS_A_ROUND = 32


class Backlog:
    """The lists of both lanes from which tasks are released. Tasks of a tenant with an empty list were not read yet."""

    def __init__(self, tasks: DispatchRepository) -> None:
        self._tasks = tasks
        self.ready: ByTenant = {}
        self.suspects: ByTenant = {}
        self._read_to_the_end: set[Tenant] = set()

    def __bool__(self) -> bool:
        return bool(self.ready or self.suspects)

    @property
    def tenants(self) -> Iterable[Tenant]:
        return self.ready.keys() | self.suspects.keys()

    def add(self, tenant: Tenant) -> None:
        """Adds a tenant of which a task waits now."""
        self.ready.setdefault(tenant, deque())
        self._read_to_the_end.discard(tenant)

    def clear(self) -> None:
        self.ready, self.suspects, self._read_to_the_end = {}, {}, set()

    async def refresh(self, turns: Turns) -> None:
        """Reads which tenants wait. Their tasks are read anew, because later ones may have a higher priority."""
        await self._tasks.sort_into_lanes()
        ready = await self._tasks.waiting_tenants(Lane.READY)
        quarantined = await self._tasks.waiting_tenants(Lane.QUARANTINED)
        self.clear()
        self.ready = {tenant: deque() for tenant in ready}
        if following := turns.next(quarantined, {}, TENANTS_A_ROUND):
            found = await self._tasks.find_waiting(Lane.QUARANTINED, following, _share(len(following)))
            self.suspects = {tenant: deque(tasks) for tenant, tasks in found.items() if tasks}

    async def read_next(self, turns: Turns, held: Mapping[Tenant, int], room: int) -> None:
        """Reads the tasks of the tenants that are next, so that the `room` next tasks are in the lists."""
        while unread := self._unread(turns, held, room):
            share = _share(len(unread))
            self._read_to_the_end.update(unread)  # before the reading: a task that comes meanwhile takes it out again
            found = await self._tasks.find_waiting(Lane.READY, unread, share)
            for tenant, tasks in found.items():
                self.ready[tenant] = deque(tasks)
                if len(tasks) == share:
                    self._read_to_the_end.discard(tenant)
            self.drop_served()

    def _unread(self, turns: Turns, held: Mapping[Tenant, int], room: int) -> list[Tenant]:
        following = turns.next(self.ready, held, min(room, TENANTS_A_ROUND))
        return [tenant for tenant in following if not self.ready[tenant]]

    def drop_served(self) -> None:
        """Forgets the tenants of which all tasks were read and taken."""
        for tenant in [tenant for tenant in self._read_to_the_end if not self.ready.get(tenant)]:
            self.ready.pop(tenant, None)
            self._read_to_the_end.discard(tenant)
        self.suspects = {tenant: tasks for tenant, tasks in self.suspects.items() if tasks}


def _share(tenants: int) -> int:
    return max(SMALLEST_LIST, LISTED_TASKS // tenants)
