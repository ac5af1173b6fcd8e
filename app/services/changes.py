"""The changes feed, for callers that follow many tasks, such as the operator.

A change becomes visible a little after the time it is stamped with, and the servers' clocks may step back. So a reader
goes through the changes in their order and, every two seconds, once more through those of the last ten seconds (a
rewind). It may get a change twice, which it recognises by the revision. It misses no change that becomes visible within
ten seconds of its stamp, as long as it reads more often than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.domain.change import TaskChange
from app.domain.cursor import decode_cursor, encode_cursor
from app.domain.identity import TaskId, Tenant
from app.ports import ChangePage, ChangePosition, ChangeRepository, Clock, IdempotencyReader
from app.services.shutdown import Shutdown

if TYPE_CHECKING:
    from typing import Self

VISIBLE_WITHIN = timedelta(seconds=10)
REWIND_EVERY = timedelta(seconds=2)
POLL_SECONDS = 0.25
_NO_REWIND = datetime.fromtimestamp(0, tz=UTC)


@dataclass(frozen=True)
class Changes:
    """One answer of the feed. The next reading begins at `cursor`; with `more` it may follow at once."""

    items: Sequence[TaskChange]
    cursor: str
    more: bool


@dataclass(frozen=True)
class Found:
    """One page of tasks. `next_cursor` is None if there is no further page."""

    items: Sequence[TaskChange]
    next_cursor: str | None = None


@dataclass(frozen=True)
class _Reader:
    """The progress of one reader: it has read up to `position` and misses no change before `complete_until`.

    `rewind_since` is the server time at which the rewind under way began, `_NO_REWIND` if there is none.
    """

    position: ChangePosition
    complete_until: datetime
    rewind_since: datetime = _NO_REWIND

    @classmethod
    def beginning(cls, now: datetime) -> Self:
        return cls(ChangePosition(now - VISIBLE_WITHIN), now - VISIBLE_WITHIN, now)

    @classmethod
    def decode(cls, cursor: str) -> Self:
        """Parses a cursor. Raises InvalidRequest."""
        changed_at, task_id, complete_until, since = decode_cursor(cursor, datetime, str, datetime, datetime)
        return cls(ChangePosition(changed_at, task_id), complete_until, since)

    def encode(self) -> str:
        at = self.position.changed_at
        return encode_cursor([at, self.position.task_id, self.complete_until, self.rewind_since])

    def at(self, now: datetime) -> Self:
        """Begins a rewind if one is due or the server's clock has stepped back."""
        behind = now - VISIBLE_WITHIN - self.complete_until
        # A negative `behind` means that the clock has stepped back: changes may be stamped before the position.
        if self.rewind_since != _NO_REWIND or timedelta() <= behind < REWIND_EVERY:
            return self
        start = min(self.complete_until, now - VISIBLE_WITHIN)
        return replace(self, position=ChangePosition(start), complete_until=start, rewind_since=now)

    def past(self, page: ChangePage) -> Self:
        """Moves behind the page. A page that is not full ends the rewind: all that is visible has been read."""
        if page.full or self.rewind_since == _NO_REWIND:
            return replace(self, position=page.end)
        until = self.rewind_since - VISIBLE_WITHIN
        return replace(self, position=page.end, complete_until=until, rewind_since=_NO_REWIND)


class ChangeService:
    """The feed of all tasks, and look-ups of many tasks at once."""

    def __init__(
        self, changes: ChangeRepository, idempotency: IdempotencyReader, clock: Clock, shutdown: Shutdown
    ) -> None:
        self._changes = changes
        self._idempotency = idempotency
        self._clock = clock
        self._shutdown = shutdown

    async def read(self, cursor: str | None, *, limit: int, wait_seconds: float) -> Changes:
        """Reads at most `limit` changes after the cursor, without one from ten seconds ago; waits for the first one.

        Raises InvalidRequest for a foreign cursor, StoreUnavailable.
        """
        ends_at = self._clock.monotonic() + wait_seconds
        reader = None if cursor is None else _Reader.decode(cursor)
        while True:
            # The database's clock stamps the changes, so the reader must not use the clock of this process.
            now = await self._changes.now()
            reader = _Reader.beginning(now) if reader is None else reader.at(now)
            page = await self._changes.after(reader.position, limit=limit)
            reader = reader.past(page)
            left_seconds = ends_at - self._clock.monotonic()
            # A full page may be empty: documents that this version cannot read are left out of it.
            if page.items or page.full or left_seconds <= 0 or self._shutdown.begun:
                return Changes(items=page.items, cursor=reader.encode(), more=page.full)
            await asyncio.sleep(min(POLL_SECONDS, left_seconds))

    async def find(self, task_ids: Sequence[TaskId]) -> Found:
        """Reads the tasks with these ids, of any tenant, in any order; unknown ids are left out."""
        return Found(await self._changes.find(task_ids))

    async def find_by_keys(self, tenant: Tenant, keys: Sequence[str]) -> Found:
        """Reads the tasks that were submitted under these idempotency keys."""
        records = await asyncio.gather(*(self._idempotency.find(tenant, key) for key in keys))
        return await self.find([record.task_id for record in records if record is not None])

    async def unfinished(self, cluster: str, *, cursor: str | None, limit: int) -> Found:
        """Reads the unfinished tasks of a cluster's AgentTasks, by id. Raises InvalidRequest for a foreign cursor."""
        after = "" if cursor is None else decode_cursor(cursor, str)[0]
        found, last_id = await self._changes.unfinished(cluster=cluster, after=after, limit=limit)
        return Found(found, next_cursor=None if last_id is None else encode_cursor([last_id]))
