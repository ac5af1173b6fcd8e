"""Sessions: the owner and the messages of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.identity import SessionId, Tenant
from app.domain.message import Message, Session


class SessionRepository(Protocol):
    """The conversations of tenants. Their content is in the tasks; a session's document holds the owner."""

    async def open(self, tenant: Tenant, session_id: SessionId) -> None:
        """Creates the session if it is new.

        Raises SessionNotFound if it belongs to another tenant, SessionErased if its owner had it erased.
        """

    async def get(self, tenant: Tenant, session_id: SessionId) -> Session:
        """Reads the session. Raises SessionNotFound, SessionErased."""

    async def messages(self, tenant: Tenant, session_id: SessionId, *, limit: int) -> Sequence[Message]:
        """Reads the last `limit` turns of the conversation, oldest first; fewer if they are very long."""

    async def erase(self, tenant: Tenant, session_id: SessionId) -> None:
        """Leaves a tombstone, so that the id cannot be used again. A repeat changes nothing."""
