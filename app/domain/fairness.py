"""How tenants share the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.identity import Tenant

# A task that crashed its worker so often is quarantined: of such tasks one runs at a time.
QUARANTINE_CRASHES = 2


@dataclass(frozen=True)
class TenantPolicy:
    """A tenant's part: its weight against others, its most tasks with workers at once, its most queued ones."""

    weight: float = 1.0
    max_running: int | None = None
    max_queued: int | None = None


@dataclass(frozen=True)
class InFlight:
    """Tasks with workers or on their way to one: by tenant, and how many of all are quarantined."""

    by_tenant: Mapping[Tenant, int] = field(default_factory=dict)
    quarantined: int = 0
