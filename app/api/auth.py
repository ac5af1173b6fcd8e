"""Who calls: the API key, its role and tenant, the client's address, and how often it may call.

A client works on its key's tenant. A service or an admin may act for another by the header X-Tenant; a service is not
rate-limited. A key that is sent is always checked, also where none is required; without one, such a place (loopback, or
an explicit setting) treats the caller as an admin.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from app.domain.api_key import ApiKey
from app.domain.identity import DEFAULT_TENANT, Role, Tenant
from app.errors import Forbidden, RateLimited, Unauthenticated
from app.ports import RateLimiter
from app.services.keys import KeyService, parse_tenant
from app.settings import ApiSettings

TENANT_HEADER = "X-Tenant"
KEY_HEADER = "X-API-Key"
_BEARER = "bearer "
_NO_ADDRESS = "unknown"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Caller:
    """`tenant` is whom the caller acts for; `chose_tenant` that it said so by header. `key_id` None: no key needed."""

    tenant: Tenant
    role: Role
    key_id: str | None
    address: str
    chose_tenant: bool

    def require_admin(self) -> None:
        """Raises Forbidden."""
        if self.role is not Role.ADMIN:
            raise Forbidden("This needs a key of the role admin.")

    def require_operator(self) -> None:
        """Raises Forbidden for those who only hand in tasks."""
        if self.role is Role.CLIENT:
            raise Forbidden("This needs a key of the role service or admin.")

    @property
    def statistics_of(self) -> Tenant | None:
        """Whose figures are shown: its own to a client, by default everybody's to those who run the system."""
        return self.tenant if self.role is Role.CLIENT or self.chose_tenant else None


class Authenticator:
    def __init__(self, keys: KeyService, limiter: RateLimiter, settings: ApiSettings) -> None:
        self._keys = keys
        self._limiter = limiter
        self._settings = settings
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in settings.trusted_proxies]

    async def authenticate(self, connection: HTTPConnection) -> Caller:
        """Raises Unauthenticated, Forbidden, RateLimited, StoreUnavailable."""
        address = client_address(connection, self._proxies)
        key = await self._key(connection, address)
        if key is None or key.role is not Role.SERVICE:
            await self._count(key, address)
        role = Role.ADMIN if key is None else key.role
        own_tenant = DEFAULT_TENANT if key is None else key.tenant
        chosen = connection.headers.get(TENANT_HEADER)
        tenant = own_tenant if chosen is None else parse_tenant(chosen)
        if role is Role.CLIENT and tenant != own_tenant:
            raise Forbidden(f"A key of the role client works on its own tenant; leave {TENANT_HEADER} out.")
        return Caller(
            tenant=tenant,
            role=role,
            key_id=None if key is None else key.id,
            address=address,
            chose_tenant=chosen is not None,
        )

    async def _key(self, connection: HTTPConnection, address: str) -> ApiKey | None:
        secret = _secret(connection)
        if secret is None and not self._settings.keys_required:
            return None
        try:
            if secret is None:
                raise Unauthenticated("An API key is needed, as `Authorization: Bearer …` or X-API-Key.")
            return await self._keys.verify(secret)
        except Unauthenticated:
            await self._count(None, address)
            raise

    async def _count(self, key: ApiKey | None, address: str) -> None:
        buckets = [f"ip:{address}"] if key is None else [f"ip:{address}", f"key:{key.id}"]
        limit = self._settings.rate_limit_per_minute
        hits = [self._limiter.hit(bucket, limit_per_minute=limit) for bucket in buckets]
        refused = [decision for decision in await asyncio.gather(*hits) if not decision.allowed]
        if refused:
            seconds = max(decision.retry_after_seconds for decision in refused)
            raise RateLimited(
                f"More than {limit} requests within a minute; try again in {seconds} s.", retry_after_seconds=seconds
            )


def client_address(connection: HTTPConnection, proxies: Sequence[Network]) -> str:
    """The peer's address; behind trusted proxies the last one of X-Forwarded-For that is none of theirs."""
    peer = connection.client.host if connection.client is not None else _NO_ADDRESS
    if not proxies or not _within(peer, proxies):
        return peer
    forwarded = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    for hop in reversed([part.strip() for part in forwarded if part.strip()]):
        if not _is_address(hop):
            return peer
        if not _within(hop, proxies):
            return hop
        peer = hop
    return peer


def _secret(connection: HTTPConnection) -> str | None:
    authorization = connection.headers.get("authorization")
    if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return connection.headers.get(KEY_HEADER)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: Sequence[Network]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)
