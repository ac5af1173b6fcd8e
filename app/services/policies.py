"""Each tenant's policy: the installation's default, widened or narrowed by the tenant's keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.domain.api_key import ApiKey, KeyLimits
from app.domain.fairness import TenantPolicy
from app.domain.identity import Tenant
from app.errors import DependencyError, StoreError
from app.ports import Clock, KeyReader
from app.services.remembered import Remembered
from app.telemetry.logs import get_logger

FRESH_SECONDS = 10.0

_log = get_logger(__name__)


class TenantPolicies:
    """The policies that the keys of all tenants set, remembered for ten seconds.

    The last known policies stay in force while the database does not answer, and for other callers while one reads.
    """

    def __init__(self, keys: KeyReader, default: TenantPolicy, clock: Clock) -> None:
        self._keys = keys
        self._default = default
        self._known: Mapping[Tenant, TenantPolicy] = {}
        self._by_tenant: Remembered[None, Mapping[Tenant, TenantPolicy]] = Remembered(
            self._read, seconds=FRESH_SECONDS, clock=clock, stale_on_error=(DependencyError, StoreError)
        )
        self._by_tenant.put_stale(None, self._known)

    def of(self, tenant: Tenant) -> TenantPolicy:
        """Returns the tenant's policy as last known; call `refresh` first."""
        return self._known.get(tenant, self._default)

    async def refresh(self) -> None:
        """Reads the keys again if the last reading is ten seconds old. Never raises."""
        self._known = await self._by_tenant.get(None)

    async def _read(self, _: None) -> Mapping[Tenant, TenantPolicy]:
        try:
            keys = await self._keys.list_all()
        except (DependencyError, StoreError) as error:
            _log.warning("policies_not_read", error_code=error.code)
            raise
        return merge(keys, self._default)


def merge(keys: Sequence[ApiKey], default: TenantPolicy) -> dict[Tenant, TenantPolicy]:
    """Builds the policy of each tenant that has keys; if several of them set a limit, the most generous one counts."""
    limits: dict[Tenant, list[KeyLimits]] = {}
    for key in keys:
        if key.revoked_at is None:
            limits.setdefault(key.tenant, []).append(key.limits)
    return {tenant: _policy(of_tenant, default) for tenant, of_tenant in limits.items()}


def _policy(limits: Sequence[KeyLimits], default: TenantPolicy) -> TenantPolicy:
    return TenantPolicy(
        weight=max((key.weight for key in limits if key.weight is not None), default=default.weight),
        max_running=_most_generous((key.max_running for key in limits), default.max_running),
        max_queued=_most_generous((key.max_queued for key in limits), default.max_queued),
    )


def _most_generous(limits: Iterable[int | None], default: int | None) -> int | None:
    return max((limit for limit in limits if limit is not None), default=default)
