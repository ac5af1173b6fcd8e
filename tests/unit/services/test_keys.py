"""API keys: their creation, and how long a valid one is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import DEFAULT_TENANT, Role, Tenant
from app.errors import InvalidRequest, Unauthenticated
from app.services.keys import TRUST_SECONDS, KeyService, hash_secret
from tests.support.doubles import ManualClock

MOMENT = datetime(2026, 11, 21, tzinfo=UTC)


class KeysInMemory:
    """Implements `app.ports.ApiKeyRepository` and counts the look-ups."""

    def __init__(self) -> None:
        self.by_hash: dict[str, ApiKey] = {}
        self.lookups = 0

    async def find_by_hash(self, sha256: str) -> ApiKey | None:
        self.lookups += 1
        return self.by_hash.get(sha256)

    async def create(
        self, *, name: str, tenant: Tenant, role: Role, sha256: str, limits: KeyLimits = NO_LIMITS
    ) -> ApiKey:
        key = ApiKey(id=sha256[:16], name=name, tenant=tenant, role=role, created_at=MOMENT, limits=limits)
        return self.by_hash.setdefault(sha256, key)

    async def list_all(self) -> Sequence[ApiKey]:
        return list(self.by_hash.values())

    async def revoke(self, key_id: str) -> bool:
        for sha256, key in self.by_hash.items():
            if key.id == key_id:
                self.by_hash[sha256] = replace(key, revoked_at=MOMENT)
                return True
        return False


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stored() -> KeysInMemory:
    return KeysInMemory()


@pytest.fixture
def keys(stored: KeysInMemory, clock: ManualClock) -> KeyService:
    return KeyService(stored, clock)


async def test_a_new_key_has_256_random_bits_and_is_stored_as_a_hash(keys: KeyService, stored: KeysInMemory) -> None:
    made = [await keys.create(name="ci", tenant=Tenant("acme"), role=Role.CLIENT) for _ in range(2)]

    assert made[0].secret != made[1].secret
    assert all(created.secret.startswith("ao_") and len(created.secret) == 3 + 43 for created in made)
    assert set(stored.by_hash) == {hash_secret(created.secret) for created in made}


async def test_a_valid_key_is_read_every_ten_seconds(
    keys: KeyService, stored: KeysInMemory, clock: ManualClock
) -> None:
    created = await keys.create(name="ci", tenant=Tenant("acme"), role=Role.CLIENT)

    assert [await keys.verify(created.secret) for _ in range(5)] == [created.key] * 5
    assert stored.lookups == 1
    clock.advance(TRUST_SECONDS)
    await keys.verify(created.secret)
    assert stored.lookups == 2


async def test_a_key_revoked_elsewhere_is_refused_when_trust_has_passed(
    keys: KeyService, stored: KeysInMemory, clock: ManualClock
) -> None:
    created = await keys.create(name="ci", tenant=Tenant("acme"), role=Role.CLIENT)
    await keys.verify(created.secret)
    await stored.revoke(created.key.id)

    clock.advance(TRUST_SECONDS)
    with pytest.raises(Unauthenticated):
        await keys.verify(created.secret)


async def test_a_key_revoked_here_is_refused_at_once(keys: KeyService) -> None:
    created = await keys.create(name="ci", tenant=Tenant("acme"), role=Role.CLIENT)
    await keys.verify(created.secret)
    assert await keys.revoke(created.key.id)

    with pytest.raises(Unauthenticated):
        await keys.verify(created.secret)
    assert not await keys.any_usable()


@pytest.mark.parametrize("secret", ["", "short", "x" * 257, "with space in the key", "ключ-ключ-ключ-ключ"])
async def test_text_that_cannot_be_a_key_is_refused_without_a_reading(
    keys: KeyService, stored: KeysInMemory, secret: str
) -> None:
    with pytest.raises(Unauthenticated):
        await keys.verify(secret)
    assert stored.lookups == 0


async def test_the_bootstrap_key_is_a_service_and_made_once(keys: KeyService, stored: KeysInMemory) -> None:
    first, again = [await keys.ensure_bootstrap("b" * 32) for _ in range(2)]

    assert first == again
    assert (first.role, first.tenant) == (Role.SERVICE, DEFAULT_TENANT)
    assert len(stored.by_hash) == 1


@pytest.mark.parametrize(
    ("name", "tenant"), [("", "acme"), (" ", "acme"), ("x" * 101, "acme"), ("ci", "a:b"), ("ci", "")]
)
async def test_a_key_needs_a_name_and_a_tenant(keys: KeyService, name: str, tenant: str) -> None:
    with pytest.raises(InvalidRequest):
        await keys.create(name=name, tenant=Tenant(tenant), role=Role.CLIENT)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (KeyLimits(weight=0), "weight"),
        (KeyLimits(weight=1000), "weight"),
        (KeyLimits(max_running=0), "max_running"),
        (KeyLimits(max_queued=-1), "max_queued"),
    ],
)
async def test_a_limit_that_cannot_be_one_is_named(keys: KeyService, limits: KeyLimits, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await keys.create(name="ci", tenant=Tenant("acme"), role=Role.CLIENT, limits=limits)

    assert [name for name, _ in caught.value.fields] == [field]
