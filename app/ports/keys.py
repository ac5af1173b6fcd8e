"""API keys as a store keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import Role, Tenant


class ApiKeyRepository(Protocol):
    async def find_by_hash(self, sha256: str) -> ApiKey | None: ...

    async def create(
        self, *, name: str, tenant: Tenant, role: Role, sha256: str, limits: KeyLimits = NO_LIMITS
    ) -> ApiKey:
        """The same hash twice returns the stored key."""

    async def list_all(self) -> Sequence[ApiKey]: ...

    async def revoke(self, key_id: str) -> bool: ...
