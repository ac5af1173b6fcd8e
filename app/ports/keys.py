"""The store of API keys. It holds hashes and limits, never a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import Role, Tenant


class KeyReader(Protocol):
    """The part of the store that the tenants' policies are made from."""

    async def list_all(self) -> Sequence[ApiKey]: ...


class ApiKeyRepository(KeyReader, Protocol):
    """The store of API keys, as the service that creates, checks and revokes them uses it."""

    async def find_by_hash(self, sha256: str) -> ApiKey | None: ...

    async def create(
        self, *, name: str, tenant: Tenant, role: Role, sha256: str, limits: KeyLimits = NO_LIMITS
    ) -> ApiKey:
        """Stores the key, or returns the stored one if the hash is there already."""

    async def revoke(self, key_id: str) -> bool:
        """Revokes the key for good. Returns False for an id that is not there."""

    async def install(self, key_id: str) -> None:
        """Marks the key as the installation's own, and takes back its end."""

    async def expire_replaced(self, key_id: str, *, seconds: float) -> int:
        """Sets an end, `seconds` from now, for each other installed key that has none, and returns their number."""
