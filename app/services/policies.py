"""Each tenant's policy: the installation's default, widened or narrowed by the tenant's keys."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.api_key import ApiKey, KeyLimits
from app.domain.fairness import TenantPolicy
from app.domain.identity import Tenant
from app.errors import DependencyError, StoreError
from app.ports import Clock, KeyReader
from app.telemetry.logs import get_logger

FRESH_SECONDS = 10.0

_log = get_logger(__name__)


class TenantPolicies:
    """Remembers what the keys say for ten seconds. While the database does not answer, what was last known holds."""

    def __init__(self, keys: KeyReader, default: TenantPolicy, clock: Clock) -> None:
        self._keys = keys
        self._default = default
        self._clock = clock
        self._known: dict[Tenant, TenantPolicy] = {}
        self._looked_at = float("-inf")

    def of(self, tenant: Tenant) -> TenantPolicy:
        """As last known; `refresh` first."""
        return self._known.get(tenant, self._default)

    async def refresh(self) -> None:
        """Looks at the keys where the last look was a while ago. Never raises."""
        now = self._clock.monotonic()
        if now - self._looked_at < FRESH_SECONDS:
            return
        self._looked_at = now
        try:
            keys = await self._keys.list_all()
        except (DependencyError, StoreError) as error:
            _log.warning("policies_not_read", code=error.code)
            return
        self._known = merge(keys, self._default)


def merge(keys: Sequence[ApiKey], default: TenantPolicy) -> dict[Tenant, TenantPolicy]:
    """The policy of each tenant that has keys; where several of them set a limit, the most generous one counts."""
    said: dict[Tenant, list[KeyLimits]] = {}
    for key in keys:
        if key.revoked_at is None:
            said.setdefault(key.tenant, []).append(key.limits)
    return {tenant: _policy(limits, default) for tenant, limits in said.items()}


def _policy(said: Sequence[KeyLimits], default: TenantPolicy) -> TenantPolicy:
    return TenantPolicy(
        weight=max((one.weight for one in said if one.weight is not None), default=default.weight),
        max_running=max((one.max_running for one in said if one.max_running is not None), default=default.max_running),
        max_queued=max((one.max_queued for one in said if one.max_queued is not None), default=default.max_queued),
    )
