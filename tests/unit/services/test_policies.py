"""A tenant's policy from the installation's default and its keys."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.api_key import ApiKey, KeyLimits
from app.domain.fairness import TenantPolicy
from app.domain.identity import Role, Tenant
from app.errors import StoreUnavailable
from app.services.policies import FRESH_SECONDS, TenantPolicies
from tests.support.doubles import ManualClock

DEFAULT = TenantPolicy(max_running=10, max_queued=100)
TEAM = Tenant("team")


def key(*, revoked: bool = False, tenant: Tenant = TEAM, **limits: float) -> ApiKey:
    now = ManualClock().now()
    gone = now if revoked else None
    own = KeyLimits(**limits)  # type: ignore[arg-type]  # numbers, as the test wrote them
    return ApiKey(
        id="k",
        name="k",
        tenant=tenant,
        role=Role.CLIENT,
        created_at=now,
        revoked_at=gone,
        limits=own,
    )


class Keys:
    """The keys in a store that counts the reads and can be down."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = keys
        self.down = False
        self.reads = 0

    async def list_all(self) -> Sequence[ApiKey]:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("the store is switched off")
        return self.keys


async def policies(keys: Keys, clock: ManualClock | None = None) -> TenantPolicies:
    made = TenantPolicies(keys, DEFAULT, clock or ManualClock())
    await made.refresh()
    return made


async def test_the_default_holds_if_the_keys_set_no_limits() -> None:
    assert (await policies(Keys(key()))).of(TEAM) == DEFAULT
    assert (await policies(Keys())).of(TEAM) == DEFAULT


async def test_the_most_generous_of_several_keys_counts() -> None:
    keys = Keys(key(max_running=2, weight=0.5), key(max_running=4), key(max_running=99, revoked=True))

    assert (await policies(keys)).of(TEAM) == TenantPolicy(weight=0.5, max_running=4, max_queued=100)


async def test_the_keys_are_read_every_ten_seconds() -> None:
    keys, clock = Keys(key(max_running=2)), ManualClock()
    made = await policies(keys, clock)
    await made.refresh()
    assert keys.reads == 1

    clock.advance(FRESH_SECONDS)
    await made.refresh()

    assert keys.reads == 2


async def test_the_last_known_policies_hold_during_an_outage() -> None:
    keys, clock = Keys(key(max_running=2)), ManualClock()
    made = await policies(keys, clock)
    keys.down = True
    clock.advance(FRESH_SECONDS)

    await made.refresh()

    assert made.of(TEAM).max_running == 2
