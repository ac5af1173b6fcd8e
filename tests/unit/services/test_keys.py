"""API keys: their creation, and how long a valid one is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import DEFAULT_TENANT, Role, Tenant
from app.errors import InvalidRequest, Unauthenticated
from app.services.keys import TRUST_SECONDS, KeyService, hash_secret
from tests.support.doubles import ManualClock

MOMENT = datetime(2026, 11, 21, tzinfo=UTC)
OVERLAP_SECONDS = 900
OLD, NEW = "old-" * 10, "new-" * 10


class KeysInMemory:
    """Implements `app.ports.ApiKeyRepository` and counts the look-ups."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
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

    async def install(self, key_id: str) -> None:
        self._change(key_id, installed=True, expires_at=None)

    async def expire_replaced(self, key_id: str, *, seconds: float) -> int:
        end = self.clock.now() + timedelta(seconds=seconds)
        replaced = [
            key.id
            for key in self.by_hash.values()
            if key.id != key_id and key.installed and key.expires_at is None and key.revoked_at is None
        ]
        for one in replaced:
            self._change(one, expires_at=end)
        return len(replaced)

    def _change(self, key_id: str, **fields: Any) -> None:
        for sha256, key in self.by_hash.items():
            if key.id == key_id:
                self.by_hash[sha256] = replace(key, **fields)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stored(clock: ManualClock) -> KeysInMemory:
    return KeysInMemory(clock)


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


async def test_the_service_key_is_made_once(keys: KeyService, stored: KeysInMemory) -> None:
    first, again = [await keys.install("b" * 32, overlap_seconds=OVERLAP_SECONDS) for _ in range(2)]

    assert first.id == again.id
    assert (first.role, first.tenant) == (Role.SERVICE, DEFAULT_TENANT)
    assert len(stored.by_hash) == 1


async def test_a_replaced_service_key_works_until_the_overlap_is_over(keys: KeyService, clock: ManualClock) -> None:
    await keys.install(OLD, overlap_seconds=OVERLAP_SECONDS)
    await keys.install(NEW, overlap_seconds=OVERLAP_SECONDS)

    clock.advance(OVERLAP_SECONDS - 1)
    assert (await keys.verify(OLD)).role is Role.SERVICE
    clock.advance(TRUST_SECONDS)
    with pytest.raises(Unauthenticated):
        await keys.verify(OLD)
    assert (await keys.verify(NEW)).expires_at is None
    assert await keys.any_usable()


async def test_the_end_of_a_replaced_key_is_not_put_off(keys: KeyService, clock: ManualClock) -> None:
    await keys.install(OLD, overlap_seconds=OVERLAP_SECONDS)
    for _ in range(3):
        await keys.install(NEW, overlap_seconds=OVERLAP_SECONDS)
        clock.advance(OVERLAP_SECONDS / 2)

    with pytest.raises(Unauthenticated):
        await keys.verify(OLD)


async def test_two_processes_with_different_keys_lock_nobody_out(keys: KeyService, clock: ManualClock) -> None:
    """A pod with the earlier key goes on beside one with the new key for longer than the overlap."""
    for _ in range(OVERLAP_SECONDS // 60 * 2):
        await keys.install(OLD, overlap_seconds=OVERLAP_SECONDS)
        await keys.install(NEW, overlap_seconds=OVERLAP_SECONDS)
        clock.advance(60)
        assert (await keys.verify(OLD)).id != (await keys.verify(NEW)).id


async def test_a_service_key_that_comes_back_works_again(keys: KeyService, clock: ManualClock) -> None:
    for secret in (OLD, NEW):
        await keys.install(secret, overlap_seconds=OVERLAP_SECONDS)
    clock.advance(OVERLAP_SECONDS)

    await keys.install(OLD, overlap_seconds=OVERLAP_SECONDS)

    assert (await keys.verify(OLD)).expires_at is None


async def test_a_revoked_service_key_stays_revoked_and_replaces_none(keys: KeyService, clock: ManualClock) -> None:
    leaked = await keys.install(OLD, overlap_seconds=OVERLAP_SECONDS)
    await keys.install(NEW, overlap_seconds=OVERLAP_SECONDS)
    await keys.revoke(leaked.id)

    assert (await keys.install(OLD, overlap_seconds=OVERLAP_SECONDS)).revoked_at is not None

    clock.advance(OVERLAP_SECONDS)
    with pytest.raises(Unauthenticated):
        await keys.verify(OLD)
    await keys.verify(NEW)


async def test_keys_that_somebody_created_never_end_with_a_service_key(keys: KeyService, clock: ManualClock) -> None:
    created = [
        await keys.create(name=name, tenant=DEFAULT_TENANT, role=Role.SERVICE) for name in ("bootstrap", "gateway")
    ]
    own = created[1].secret
    for secret in (OLD, own, NEW):
        await keys.install(secret, overlap_seconds=OVERLAP_SECONDS)
    clock.advance(OVERLAP_SECONDS)

    for one in created:
        assert (await keys.verify(one.secret)).id == one.key.id
    with pytest.raises(Unauthenticated):
        await keys.verify(OLD)


async def test_a_service_key_of_an_earlier_version_is_replaced_like_any_other(
    keys: KeyService, stored: KeysInMemory, clock: ManualClock
) -> None:
    await stored.create(name="bootstrap", tenant=DEFAULT_TENANT, role=Role.SERVICE, sha256=hash_secret(OLD))
    for secret in (OLD, NEW):
        await keys.install(secret, overlap_seconds=OVERLAP_SECONDS)
    clock.advance(OVERLAP_SECONDS)

    with pytest.raises(Unauthenticated):
        await keys.verify(OLD)


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
