"""API keys: made once and shown once, kept as a hash, checked at every request.

A key is `ao_` and 256 random bits. A key that was found good is trusted for ten seconds without another look, so a
revoked one works at most that much longer.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import DEFAULT_TENANT, Role, Tenant
from app.errors import InvalidRequest, Unauthenticated
from app.ports import ApiKeyRepository, Clock

KEY_PREFIX = "ao_"
TRUST_SECONDS = 10.0
SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.01, 100.0
_KEYS_REMEMBERED = 4096
_PLAUSIBLE = re.compile(r"[\x21-\x7e]{16,256}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BOOTSTRAP_NAME = "bootstrap"


@dataclass(frozen=True)
class CreatedKey:
    """A new key with its secret, which cannot be shown again."""

    key: ApiKey
    secret: str


class KeyService:
    def __init__(self, keys: ApiKeyRepository, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._trusted: OrderedDict[str, tuple[ApiKey, float]] = OrderedDict()

    async def create(self, *, name: str, tenant: Tenant, role: Role, limits: KeyLimits = NO_LIMITS) -> CreatedKey:
        """Raises InvalidRequest for a name, a tenant or a limit that cannot be one."""
        _check_limits(limits)
        if not name.strip() or len(name) > 100:
            raise InvalidRequest("The key needs a name.", fields=[("name", "must have 1 to 100 characters")])
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        key = await self._keys.create(
            name=name, tenant=parse_tenant(tenant), role=role, sha256=hash_secret(secret), limits=limits
        )
        return CreatedKey(key=key, secret=secret)

    async def verify(self, secret: str) -> ApiKey:
        """The key of this secret. Raises Unauthenticated, StoreUnavailable."""
        if not _PLAUSIBLE.fullmatch(secret):
            raise Unauthenticated("The API key is not valid; create one with `agent-orchestrator keys create`.")
        sha256 = hash_secret(secret)
        trusted = self._trusted.get(sha256)
        if trusted is not None and self._clock.monotonic() - trusted[1] < TRUST_SECONDS:
            return trusted[0]
        self._trusted.pop(sha256, None)
        key = await self._keys.find_by_hash(sha256)
        if key is None or key.revoked_at is not None:
            raise Unauthenticated(
                "The API key is unknown or revoked; create one with `agent-orchestrator keys create`."
            )
        self._trusted[sha256] = (key, self._clock.monotonic())
        if len(self._trusted) > _KEYS_REMEMBERED:
            self._trusted.popitem(last=False)
        return key

    async def list_all(self) -> Sequence[ApiKey]:
        return await self._keys.list_all()

    async def revoke(self, key_id: str) -> bool:
        """False where there is no such key. Other processes trust it for up to ten seconds more."""
        self._trusted.clear()
        return await self._keys.revoke(key_id)

    async def ensure_bootstrap(self, secret: str) -> ApiKey:
        """Stores the installation's first service key, once."""
        return await self._keys.create(
            name=_BOOTSTRAP_NAME, tenant=DEFAULT_TENANT, role=Role.SERVICE, sha256=hash_secret(secret)
        )

    async def any_usable(self) -> bool:
        return any(key.revoked_at is None for key in await self._keys.list_all())


def hash_secret(secret: str) -> str:
    """SHA-256, hexadecimal. A key has 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_limits(limits: KeyLimits) -> None:
    if limits.weight is not None and not SMALLEST_WEIGHT <= limits.weight <= LARGEST_WEIGHT:
        allowed = f"must be between {SMALLEST_WEIGHT} and {LARGEST_WEIGHT}"
        raise InvalidRequest("The weight is not valid.", fields=[("weight", allowed)])
    for name, value in (("max_running", limits.max_running), ("max_queued", limits.max_queued)):
        if value is not None and value < 1:
            raise InvalidRequest("A limit is not valid.", fields=[(name, "must be at least 1")])


def parse_tenant(text: str) -> Tenant:
    """Raises InvalidRequest."""
    if not _TENANT.fullmatch(text):
        allowed = "must have 1 to 63 letters, digits, dots, dashes or underscores and begin with a letter or digit"
        raise InvalidRequest("The tenant's name is not valid.", fields=[("tenant", allowed)])
    return Tenant(text)
