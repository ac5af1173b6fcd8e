"""Sessions: the context of a conversation, and its permanent erasure."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.identity import SessionId, Tenant
from app.domain.message import Message, Session
from app.errors import SessionErased
from app.ports import SessionRepository, TaskQueue, TaskRepository
from app.services.tasks import publish_cancel

CONTEXT_MESSAGES = 100


@dataclass(frozen=True)
class SessionContext:
    """A session with its last hundred turns, oldest first; fewer if they are very long."""

    session: Session
    messages: Sequence[Message]


class SessionService:
    """The sessions of all tenants."""

    def __init__(self, sessions: SessionRepository, tasks: TaskRepository, queue: TaskQueue) -> None:
        self._sessions = sessions
        self._tasks = tasks
        self._queue = queue

    async def context(self, tenant: Tenant, session_id: SessionId) -> SessionContext:
        """Reads the session and its last turns. Raises SessionNotFound, SessionErased, StoreUnavailable."""
        session = await self._sessions.get(tenant, session_id)
        messages = await self._sessions.messages(tenant, session_id, limit=CONTEXT_MESSAGES)
        return SessionContext(session=session, messages=messages)

    async def erase(self, tenant: Tenant, session_id: SessionId) -> None:
        """Removes every text of the session permanently and cancels its running tasks. Safe to repeat.

        Raises SessionNotFound, StoreUnavailable.
        """
        # A session that is erased already is erased again: an earlier attempt may have been cut short after the
        # tombstone, with texts still stored.
        with contextlib.suppress(SessionErased):
            await self._sessions.get(tenant, session_id)
        # The tombstone comes before the texts, so that no new task joins the session in between.
        await self._sessions.erase(tenant, session_id)
        for task_id in await self._tasks.erase_session(tenant, session_id):
            await publish_cancel(self._queue, task_id)
