"""API keys: created and shown once, stored as a hash, checked at every request.

A key is `ao_` and 256 random bits, unless the installation brings its own (see `app.services.service_key`). A key that
was found valid is trusted for ten seconds without another reading, so a revoked key works for at most that much longer.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import DEFAULT_TENANT, Role, Tenant
from app.errors import InvalidRequest, Unauthenticated
from app.ports import ApiKeyRepository, Clock
from app.services.remembered import Remembered
from app.telemetry.logs import get_logger

KEY_PREFIX = "ao_"
TRUST_SECONDS = 10.0
SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.01, 100.0
_KEYS_REMEMBERED = 4096
_PLAUSIBLE = re.compile(r"[\x21-\x7e]{16,256}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BOOTSTRAP_NAME = "bootstrap"

_log = get_logger(__name__)


@dataclass(frozen=True)
class CreatedKey:
    """A new key with its secret, which cannot be shown again."""

    key: ApiKey
    secret: str


class KeyService:
    """The keys of all tenants; remembers the valid ones by the hash of their secret."""

    def __init__(self, keys: ApiKeyRepository, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        # Only valid keys are remembered: guessed ones raise, and an attacker cannot fill the memory with them.
        self._trusted: Remembered[str, ApiKey] = Remembered(
            self._read, seconds=TRUST_SECONDS, clock=clock, most_keys=_KEYS_REMEMBERED
        )

    async def create(self, *, name: str, tenant: Tenant, role: Role, limits: KeyLimits = NO_LIMITS) -> CreatedKey:
        """Creates a key. Raises InvalidRequest for a name, a tenant or a limit that is not valid, StoreUnavailable."""
        _check_limits(limits)
        if not name.strip() or len(name) > 100:
            raise InvalidRequest("The key needs a name.", fields=[("name", "must have 1 to 100 characters")])
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        key = await self._keys.create(
            name=name, tenant=parse_tenant(tenant), role=role, sha256=hash_secret(secret), limits=limits
        )
        return CreatedKey(key=key, secret=secret)

    async def verify(self, secret: str) -> ApiKey:
        """Returns the key of this secret. Raises Unauthenticated, StoreUnavailable."""
        # The pattern keeps nonsense of any length away from the hash function and the database.
        if not _PLAUSIBLE.fullmatch(secret):
            raise Unauthenticated("The API key is not valid; create one with `agent-orchestrator keys create NAME`.")
        return await self._trusted.get(hash_secret(secret))

    async def _read(self, sha256: str) -> ApiKey:
        key = await self._keys.find_by_hash(sha256)
        if key is None or not key.usable(self._clock.now()):
            raise Unauthenticated(
                "The API key is unknown, revoked or expired; create one with `agent-orchestrator keys create NAME`."
            )
        return key

    async def list_all(self) -> Sequence[ApiKey]:
        """Reads all keys, the revoked and expired ones too. Raises StoreUnavailable."""
        return await self._keys.list_all()

    async def revoke(self, key_id: str) -> bool:
        """Revokes a key and returns False if there is none. Other processes trust it for up to ten seconds more."""
        self._trusted.forget_all()
        return await self._keys.revoke(key_id)

    async def install(self, secret: str, *, overlap_seconds: float) -> ApiKey:
        """Stores the installation's own service key, once, and returns it.

        The ones before it end `overlap_seconds` after their replacement. Keys that somebody created never end this way,
        not even one that has become the installation's own. A revoked key stays revoked, and replaces none.

        Raises StoreUnavailable.
        """
        sha256 = hash_secret(secret)
        key = await self._keys.find_by_hash(sha256) or await self._keys.create(
            name=_BOOTSTRAP_NAME, tenant=DEFAULT_TENANT, role=Role.SERVICE, sha256=sha256
        )
        if key.revoked_at is not None:
            return key
        if key.name == _BOOTSTRAP_NAME and (not key.installed or key.expires_at is not None):
            await self._keys.install(key.id)
            _log.info("service_key_installed", key_id=key.id)
        replaced = await self._keys.expire_replaced(key.id, seconds=overlap_seconds)
        if replaced:
            _log.info("service_keys_replaced", count=replaced, overlap_seconds=overlap_seconds)
        return key

    async def any_usable(self) -> bool:
        """Reads whether any key is neither revoked nor expired. Raises StoreUnavailable."""
        now = self._clock.now()
        return any(key.usable(now) for key in await self._keys.list_all())


def hash_secret(secret: str) -> str:
    """Computes the SHA-256, hexadecimal. A key has 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_limits(limits: KeyLimits) -> None:
    if limits.weight is not None and not SMALLEST_WEIGHT <= limits.weight <= LARGEST_WEIGHT:
        allowed = f"must be between {SMALLEST_WEIGHT} and {LARGEST_WEIGHT}"
        raise InvalidRequest("The weight is not valid.", fields=[("weight", allowed)])
    for name, value in (("max_running", limits.max_running), ("max_queued", limits.max_queued)):
        if value is not None and value < 1:
            raise InvalidRequest("A limit is not valid.", fields=[(name, "must be at least 1")])


def parse_tenant(text: str) -> Tenant:
    """Parses a tenant's name. Raises InvalidRequest."""
    if not _TENANT.fullmatch(text):
        allowed = "must have 1 to 63 letters, digits, dots, dashes or underscores and begin with a letter or digit"
        raise InvalidRequest("The tenant's name is not valid.", fields=[("tenant", allowed)])
    return Tenant(text)
