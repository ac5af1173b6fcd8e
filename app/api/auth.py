"""The caller of a request: its API key, role, tenant and address, and its rate limit.

A client works on its key's tenant. A service or an admin may act for another tenant by the header X-Tenant; a service
is not rate-limited. A key that is sent is always checked, even if the installation requires none (on loopback, or by
AGENT_API_AUTH=off). Such an installation treats a caller without a key as an admin.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
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
# Some proxies add the port to the address that they forward.
_BRACKETED = re.compile(r"\[([^\]]*)\](?::\d+)?")
_WITH_PORT = re.compile(r"([\d.]+):\d+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Caller:
    """The caller of one request, who acts for `tenant`.

    `chose_tenant`: the tenant came from the header X-Tenant. `key_id` is None if the caller sent no key and needs none.
    """

    tenant: Tenant
    role: Role
    key_id: str | None
    address: str
    chose_tenant: bool

    def require_admin(self) -> None:
        """Raises Forbidden unless the role is admin."""
        if self.role is not Role.ADMIN:
            raise Forbidden("This call needs a key with the role admin.")

    def require_operator(self) -> None:
        """Raises Forbidden for a client, which may only work on its own tasks."""
        if self.role is Role.CLIENT:
            raise Forbidden("This call needs a key with the role service or admin.")

    @property
    def statistics_of(self) -> Tenant | None:
        """The tenant whose figures the caller sees. None (all tenants) is the default for a service and an admin."""
        return self.tenant if self.role is Role.CLIENT or self.chose_tenant else None


class Authenticator:
    """The check of keys and rate limits at every request."""

    def __init__(self, keys: KeyService, limiter: RateLimiter, settings: ApiSettings) -> None:
        self._keys = keys
        self._limiter = limiter
        self._settings = settings
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in settings.trusted_proxies]

    async def authenticate(self, connection: HTTPConnection) -> Caller:
        """Determines the caller of a request. Raises Unauthenticated, Forbidden, RateLimited, StoreUnavailable."""
        address = client_address(connection, self._proxies)
        key = await self._key(connection, address)
        if key is None or key.role is not Role.SERVICE:
            await self._count(key, address)
        role = Role.ADMIN if key is None else key.role
        own_tenant = DEFAULT_TENANT if key is None else key.tenant
        chosen = connection.headers.get(TENANT_HEADER)
        tenant = own_tenant if chosen is None else parse_tenant(chosen)
        if role is Role.CLIENT and tenant != own_tenant:
            raise Forbidden(f"A key with the role client works on its own tenant only; leave {TENANT_HEADER} out.")
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
                raise Unauthenticated(
                    f"An API key is required, as `Authorization: Bearer …` or {KEY_HEADER}. Create one with "
                    "`agent-orchestrator keys create NAME`."
                )
            return await self._keys.verify(secret)
        except Unauthenticated:
            # Refused requests count as well, so that nobody can guess keys faster than the rate limit.
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
    """Determines the client's address: the peer's, or behind trusted proxies the last other one in X-Forwarded-For."""
    peer = _address_of(connection.client.host) if connection.client is not None else _NO_ADDRESS
    if not proxies or not _within(peer, proxies):
        return peer
    forwarded = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    # From the right: each proxy appends the address it was called from, and the client may have written the rest.
    for hop in reversed([_address_of(part.strip()) for part in forwarded if part.strip()]):
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


def _address_of(hop: str) -> str:
    """Returns the address of a hop without its port and brackets, and an IPv4 address that IPv6 wraps as IPv4."""
    host = hop
    if found := _BRACKETED.fullmatch(hop) or _WITH_PORT.fullmatch(hop):
        host = found[1]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return hop
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: Sequence[Network]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)
