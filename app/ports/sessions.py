"""Sessions: the owner and the messages of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.identity import SessionId, Tenant
from app.domain.message import Message, Session


class SessionRepository(Protocol):
    async def open(self, tenant: Tenant, session_id: SessionId) -> None:
        """Creates the session where it is new.

        Raises SessionNotFound when it belongs to another tenant, SessionErased when its owner had it erased.
        """

    async def get(self, tenant: Tenant, session_id: SessionId) -> Session:
        """Raises SessionNotFound, SessionErased."""

    async def messages(self, tenant: Tenant, session_id: SessionId, *, limit: int) -> Sequence[Message]:
        """The last `limit` turns of the conversation, oldest first."""

    async def erase(self, tenant: Tenant, session_id: SessionId) -> None:
        """Leaves a tombstone; twice changes nothing."""
