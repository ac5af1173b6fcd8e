"""The shares of tenants in the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.identity import Tenant

# Crashes after which a task is quarantined. Of such tasks only one runs at a time, so that one that kills its worker
# does not cost its neighbours their attempts.
QUARANTINE_CRASHES = 2


@dataclass(frozen=True)
class TenantPolicy:
    """The weight of a tenant against others, and its limits: tasks that workers hold at once, and queued tasks."""

    weight: float = 1.0
    max_running: int | None = None
    max_queued: int | None = None


@dataclass(frozen=True)
class InFlight:
    """The counts of tasks that workers hold or that are on their way to one, by tenant, and of quarantined ones."""

    by_tenant: Mapping[Tenant, int] = field(default_factory=dict)
    quarantined: int = 0
