"""The store of API keys. It keeps a hash, never the secret; a revoked or expired key stays, for the audit.

The id of a key is the beginning of its hash, so that creating the same key again finds the first one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from app.domain.api_key import NO_LIMITS, ApiKey, KeyLimits
from app.domain.identity import Role, Tenant
from app.errors import StoreError
from app.storage.mongo import Database, store_errors
from app.storage.writes import later, literal

_ID_CHARACTERS = 16
_LIMITS = tuple(field.name for field in fields(KeyLimits))


class MongoApiKeyRepository:
    """Implements `app.ports.ApiKeyRepository` on the collection `api_keys`."""

    def __init__(self, db: Database) -> None:
        self._keys = db["api_keys"]

    async def find_by_hash(self, sha256: str) -> ApiKey | None:
        with store_errors("find an API key"):
            document = await self._keys.find_one({"sha256": sha256})
        return None if document is None else _parse(document)

    async def create(
        self, *, name: str, tenant: Tenant, role: Role, sha256: str, limits: KeyLimits = NO_LIMITS
    ) -> ApiKey:
        key_id = sha256[:_ID_CHARACTERS]
        given = {"name": name, "tenant": tenant, "role": role.value, "sha256": sha256, **asdict(limits)}
        document = {"$mergeObjects": ["$$ROOT", literal(given), {"created_at": "$$NOW"}]}
        # A pipeline upsert, because only pipelines can set times by the server's clock. The filter excludes stored
        # keys: for an id that is stored the insert fails as a duplicate, and the stored key stays as it is.
        with store_errors(f"create API key {key_id}"), contextlib.suppress(DuplicateKeyError):
            await self._keys.update_one(
                {"_id": key_id, "sha256": {"$exists": False}}, [{"$replaceWith": document}], upsert=True
            )
        stored = await self.find_by_hash(sha256)
        if stored is None:
            raise StoreError(f"API key {key_id} was stored but cannot be read; create it again.")
        return stored

    async def list_all(self) -> Sequence[ApiKey]:
        with store_errors("list API keys"):
            documents = await self._keys.find({}).sort([("created_at", ASCENDING), ("_id", ASCENDING)]).to_list()
        return [_parse(document) for document in documents]

    async def revoke(self, key_id: str) -> bool:
        with store_errors(f"revoke API key {key_id}"):
            result = await self._keys.update_one(
                {"_id": key_id}, [{"$set": {"revoked_at": {"$ifNull": ["$revoked_at", "$$NOW"]}}}]
            )
        return result.matched_count == 1

    async def install(self, key_id: str) -> None:
        installed = [{"$set": {"installed": literal(True), "expires_at": "$$REMOVE"}}]
        with store_errors(f"install API key {key_id}"):
            await self._keys.update_one({"_id": key_id}, installed)

    async def expire_replaced(self, key_id: str, *, seconds: float) -> int:
        replaced = {
            "_id": {"$ne": key_id},
            "installed": True,
            "expires_at": {"$exists": False},
            "revoked_at": {"$exists": False},
        }
        with store_errors("set the end of replaced API keys"):
            result = await self._keys.update_many(replaced, [{"$set": {"expires_at": later(seconds)}}])
        return result.matched_count


def _parse(document: dict[str, Any]) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        name=document["name"],
        tenant=Tenant(document["tenant"]),
        role=Role(document["role"]),
        created_at=document["created_at"],
        revoked_at=document.get("revoked_at"),
        limits=KeyLimits(**{name: document.get(name) for name in _LIMITS}),
        installed=bool(document.get("installed")),
        expires_at=document.get("expires_at"),
    )
