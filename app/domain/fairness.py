"""The shares of tenants in the workers, and the lanes in which queued tasks wait for their turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.identity import Tenant

# Crashes after which a task is quarantined: it is a suspect. Suspects run in small groups, so that one that kills its
# worker does not cost its neighbours their attempts.
QUARANTINE_CRASHES = 2
# Each crash of a whole group makes the next groups smaller by this factor. 3,200 slots then need four crashes to run
# the suspects one by one, and 12 slots need one.
NARROWING = 8


class Lane(StrEnum):
    """The place of a queued task: it may be released, is not due yet, is a suspect, or its ticket has been sent."""

    READY = "ready"
    DELAYED = "delayed"
    QUARANTINED = "quarantined"
    DISPATCHED = "dispatched"


# The lanes from which the dispatcher releases tasks.
WAITING_LANES = (Lane.READY, Lane.QUARANTINED)


@dataclass(frozen=True)
class TenantPolicy:
    """The weight of a tenant against others, and its limits: tasks that workers hold at once, and queued tasks."""

    weight: float = 1.0
    max_running: int | None = None
    max_queued: int | None = None


@dataclass(frozen=True)
class InFlight:
    """The counts of tasks that workers hold or that are on their way to one.

    `processing` of them have been claimed. `suspects` are the quarantined ones, and `suspicion` is the largest number
    of shared crashes of one of these.
    """

    by_tenant: Mapping[Tenant, int] = field(default_factory=dict)
    processing: int = 0
    suspects: int = 0
    suspicion: int = 0

    @property
    def total(self) -> int:
        return sum(self.by_tenant.values())


def most_suspects(slots: int, suspicion: int) -> int:
    """Returns how many suspects may be in flight at once; `suspicion` is the largest number of their shared crashes.

    The first groups take half of the slots: after the loss of a whole pool most suspects are innocent.
    """
    return max(1, slots // 2 // int(NARROWING**suspicion))
