"""An API key as stored, and the limits that it sets for its tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.domain.identity import Role, Tenant


@dataclass(frozen=True)
class KeyLimits:
    """The limits that a key sets for its tenant in place of the installation's defaults; None keeps the default."""

    weight: float | None = None
    max_running: int | None = None
    max_queued: int | None = None


NO_LIMITS = KeyLimits()


@dataclass(frozen=True)
class ApiKey:
    """A key as stored. The secret itself is never kept, only its SHA-256.

    `installed`: the installation gave this key to the API; nobody created it. Only such a key has an end, `expires_at`,
    once another one has taken its place.
    """

    id: str
    name: str
    tenant: Tenant
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None
    limits: KeyLimits = NO_LIMITS
    installed: bool = False
    expires_at: datetime | None = None

    def usable(self, now: datetime) -> bool:
        """Returns whether requests with this key are accepted at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
